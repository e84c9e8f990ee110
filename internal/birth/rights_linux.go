package birth

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// To join a namespace takes CAP_SYS_ADMIN in the user namespace that owns it (setns(2)). A process that has it in a user
// namespace has it in all below. One that joins a user namespace gets it in there, and loses it elsewhere (user_namespaces(7)).

// fd returns the descriptor of an open namespace.
func (r Ref) fd() int { return int(r.File.Fd()) }

// belongs tells whether a user namespace, or one below it, owns a namespace.
func belongs(fd int, user uint64) bool {
	owner, err := unix.IoctlRetInt(fd, unix.NS_GET_USERNS)
	if err != nil {
		return err == unix.ENOTTY // before Linux 4.9; EPERM: it is out of this process' sight
	}
	defer unix.Close(owner)
	return inode(owner) == user || belongs(owner, user)
}

// withOwner is about the namespaces that come before the first user namespace; all, if there is none. Where the calling thread
// lacks CAP_SYS_ADMIN, withOwner adds the user namespace that owns these, the outermost if there are several. The child joins it
// first.
func withOwner(refs []Ref, fresh uintptr) []Ref {
	first, user := untilUser(refs)
	if len(first) == 0 || fresh&unix.CLONE_NEWUSER != 0 || may(unix.CAP_SYS_ADMIN) {
		return refs
	}
	own := ownInode("user")
	if own == 0 {
		return refs
	}
	var owner []Ref
	var outermost uint64
	for _, ref := range first {
		fd, err := unix.IoctlRetInt(ref.fd(), unix.NS_GET_USERNS)
		if err != nil {
			continue // it is a root directory, or out of this process' sight
		}
		ino := inode(fd)
		if ino == own || ino == user || belongs(ref.fd(), outermost) {
			_ = unix.Close(fd)
			continue
		}
		Close(owner)
		path := "owner of " + ref.Path
		owner, outermost = []Ref{{Type: ownerKind, Path: path, File: os.NewFile(uintptr(fd), path)}}, ino
	}
	return append(refs, owner...)
}

// untilUser returns the references before the one to a user namespace, and identifies that: 0 if there is none that is open.
func untilUser(refs []Ref) (first []Ref, user uint64) {
	i := slices.IndexFunc(refs, func(ref Ref) bool { return ref.Kind() == "user" })
	if i < 0 {
		return refs, 0
	}
	if refs[i].File != nil {
		user = inode(refs[i].fd())
	}
	return refs[:i], user
}

// may tells whether the calling thread has a capability in its own user namespace.
func may(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	return err != nil || data[0].Effective&(1<<capability) != 0
}
