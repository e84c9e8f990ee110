//go:build !linux

package birth

import "os"

// cannotObey returns errSecure in a set-user-ID program.
func cannotObey() error {
	if os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid() {
		return errSecure
	}
	return nil
}
