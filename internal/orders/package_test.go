package orders

import (
	"encoding/json"
	"os"
	"runtime"
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
)

func TestMain(m *testing.M) { specs.Main(m) }

func init() {
	runtime.LockOSThread() // TestMain stays on the main thread, as init functions do, which take orders elsewhere
	// Takes its orders, and tells what they are and which variables are left.
	specs.Roles["take"] = func(args []string) {
		told := taken{Orders: Take(), Env: os.Environ()}
		for _, number := range args {
			if _, err := os.Stat("/dev/fd/" + number); err == nil {
				told.Open = append(told.Open, number)
			}
		}
		told.Inherited = inherited(args)
		if name, err := os.ReadFile("/proc/self/comm"); err == nil {
			told.Name = string(name)
		}
		_ = json.NewEncoder(os.Stdout).Encode(told)
	}
	specs.Roles["by hand"] = func([]string) {
		var told taken
		told.Orders = Take()
		told.Name = ByHand()
		Remove()
		told.After = ByHand()
		told.Env = os.Environ()
		_ = json.NewEncoder(os.Stdout).Encode(told)
	}
}

// A taken is what a child tells about its orders.
type taken struct {
	Orders    Orders
	Env       []string
	Name      string
	After     string   // name of an action by hand, once that is removed
	Open      []string // of the numbers it was told, those that are open
	Inherited []string // of these, those that its own children would inherit
}

func TestOrders(t *testing.T) { specs.Run(t, "reexec/internal/orders") }

var _ = BeforeEach(specs.LeaveNothing)
