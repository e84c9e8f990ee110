// Command record runs what the README shows and draws the terminal, as it goes, in
// docs/terminal.svg:
//
//	go run ./docs/record
//
// It is run in the root of the repository, by an ordinary user or by root. The session has
// a hostname of its own, and a user with the number 1000.
package main

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// commands is what is typed.
var commands = []string{
	`unshare --user --map-root-user --uts sh -c 'hostname elsewhere; exec sleep 600' &`,
	`hostname`,
	`./hostname $!   # the program of this page`,
	`./rootless      # examples/rootless`,
}

// session is the shell: a user without privileges, on a machine with a hostname of its own.
var session = []string{"unshare", "--user", "--map-root-user", "--uts", "sh", "-c",
	"hostname here; exec unshare --user --map-user=1000 --map-group=1000 bash --norc"}

// endMark is what the shell prints after each command.
const endMark = "\x1e"

// A step is a command, what it printed, and how long it took.
type step struct {
	command string
	output  []string
	took    time.Duration
}

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "record-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		return err
	}
	steps, err := record(dir)
	if err != nil {
		return err
	}
	return os.WriteFile("docs/terminal.svg", []byte(draw(steps)), 0o644)
}

// build builds the first program of the README, and an example.
func build(dir string) error {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		return err
	}
	found := regexp.MustCompile("(?s)```go\n(.*?)```").FindSubmatch(readme)
	if found == nil {
		return fmt.Errorf("no program in README.md")
	}
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, found[1], 0o644); err != nil {
		return err
	}
	for name, what := range map[string]string{"hostname": source, "rootless": "./examples/rootless"} {
		out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), what).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}

// record runs the commands in one shell.
func record(dir string) (steps []step, err error) {
	shell := exec.Command(session[0], session[1:]...)
	shell.Dir = dir
	stdin, err := shell.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := shell.StdoutPipe()
	if err != nil {
		return nil, err
	}
	shell.Stderr = shell.Stdout
	if err := shell.Start(); err != nil {
		return nil, err
	}
	terminal := bufio.NewReader(stdout)
	for _, command := range commands {
		start := time.Now()
		if _, err := fmt.Fprintf(stdin, "%s\nprintf '\\036'\n", command); err != nil {
			return nil, err
		}
		text, err := terminal.ReadString(endMark[0])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", command, err)
		}
		s := step{command: command, took: time.Since(start)}
		if text = strings.TrimSuffix(strings.TrimSuffix(text, endMark), "\n"); text != "" {
			s.output = strings.Split(text, "\n")
		}
		steps = append(steps, s)
		time.Sleep(300 * time.Millisecond) // as somebody who types
	}
	if _, err := io.WriteString(stdin, "kill $!\n"); err != nil {
		return nil, err
	}
	_ = stdin.Close()
	return steps, shell.Wait()
}

// Sizes of the picture, in pixels.
const (
	column, row, margin, bar = 8.4, 20, 16, 30
	columns                  = 86
	perKey                   = 0.03 // seconds
	pause                    = 0.7
)

// draw draws the terminal. Without animation all of it is seen at once.
func draw(steps []step) string {
	var lines strings.Builder
	y, now := float64(bar+margin+row/2), 0.5
	print := func(class, text string, typed float64) {
		x, width := float64(margin), column*float64(len([]rune(text)))
		clip := ""
		if typed > 0 {
			id := fmt.Sprintf("c%.0f", y)
			fmt.Fprintf(&lines, `<clipPath id="%s"><rect x="%d" y="%.0f" height="%d" width="%.1f">`+
				`<animate attributeName="width" from="%.1f" to="%.1f" begin="%.2fs" dur="%.2fs"/></rect></clipPath>`+"\n",
				id, margin, y-row*0.75, row, width+column, column*2, width+column, now, typed) // a font may be wider
			clip = fmt.Sprintf(` clip-path="url(#%s)"`, id)
		}
		fmt.Fprintf(&lines, `<text class="%s" x="%.0f" y="%.0f" textLength="%.1f" style="animation-delay:%.2fs"%s>%s</text>`+"\n",
			class, x, y, width, now, clip, strings.ReplaceAll(html.EscapeString(text), " ", "\u00a0"))
		y += row
	}
	for _, s := range steps {
		typed := perKey * float64(len(s.command))
		print("in", "$ "+s.command, typed)
		now += typed + s.took.Seconds()
		for _, line := range s.output {
			print("out", line, 0)
		}
		now += pause
	}
	print("in", "$", 0)
	width, height := 2*margin+column*columns, y+margin-row/2
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" aria-label="A terminal in which programs run in other namespaces">
<style>
text { font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; animation: appear 1ms backwards }
.in { fill: #7ee787 } .out { fill: #e6edf3 }
@keyframes appear { from { visibility: hidden } to { visibility: visible } }
@media (prefers-reduced-motion: reduce) { text { animation: none } }
</style>
<rect width="%[1]d" height="%[2]d" rx="8" fill="#0d1117"/>
<circle cx="20" cy="18" r="6" fill="#ff5f56"/><circle cx="40" cy="18" r="6" fill="#ffbd2e"/><circle cx="60" cy="18" r="6" fill="#27c93f"/>
%[3]s</svg>
`, int(width), int(height), lines.String())
}
