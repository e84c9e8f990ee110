// Package loopback makes the loopback interface of a new network namespace usable.
package loopback

import "golang.org/x/sys/unix"

// Up does what "ip link set lo up" does, in the network namespace of the calling thread.
func Up() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, lo)
}
