package child

import (
	"encoding/json"
	"os"
	"runtime"

	"example.com/gons/reexec/internal/specs"
)

func init() {
	runtime.LockOSThread() // TestMain stays on the main thread, as init functions do, which take orders elsewhere
	// Takes its orders, and tells what they are and which variables are left.
	specs.Roles["take"] = func(args []string) {
		told := taken{Orders: TakeOrders(), Env: os.Environ()}
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
		told := taken{Orders: TakeOrders(), Name: ActionByHand()}
		RemoveOrders()
		told.After, told.Env = ActionByHand(), os.Environ()
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
