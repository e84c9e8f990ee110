package birth

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Whoever joins a namespace needs CAP_SYS_ADMIN in the user namespace that owns it (setns(2)). Who has that in a user
// namespace has it in all below (user_namespaces(7)); who joins a user namespace has it in there, and nowhere else.

// fd returns the descriptor of an open namespace.
func (r Ref) fd() int { return int(r.File.Fd()) }

// belongs tells whether a user namespace, or one below it, owns a namespace.
func belongs(fd int, user uint64) bool {
	owner, err := unix.IoctlRetInt(fd, unix.NS_GET_USERNS)
	if err != nil {
		return err == unix.ENOTTY // before Linux 4.9; EPERM: it is out of this process' sight
	}
	defer unix.Close(owner)
	ino, err := inode(owner)
	return err == nil && (ino == user || belongs(owner, user))
}

// userAfterForeign puts the user namespace behind those that do not belong to it. It is the first, if it is there.
func userAfterForeign(namespaces []Ref) []Ref {
	if len(namespaces) == 0 || namespaces[0].Kind() != "user" {
		return namespaces
	}
	var foreign, others []Ref
	user, err := inode(namespaces[0].fd())
	for i, ref := range namespaces {
		if i > 0 && err == nil && !belongs(ref.fd(), user) {
			foreign = append(foreign, ref)
		} else {
			others = append(others, ref)
		}
	}
	return append(foreign, others...)
}

// withRights sees to the rights to join the namespaces of targets in their order. A time namespace, which package gons does not
// know, comes before the others if the user namespace behind it does not own it. Where the calling thread lacks the rights, the
// user namespace is added that owns what comes first.
func withRights(refs []Ref, fresh uintptr) []Ref {
	first, user := refs, uint64(0)
	if i := slices.IndexFunc(refs, func(ref Ref) bool { return ref.Kind() == "user" }); i >= 0 {
		first = refs[:i]
		user, _ = inode(refs[i].fd())
		for i, ref := range first {
			first[i].early = ref.Kind() == "time" && !belongs(ref.fd(), user)
		}
	}
	own := openOwn()
	defer own.close()
	if ino, known := own.inode("user"); known && fresh&unix.CLONE_NEWUSER == 0 && !isAdmin() {
		refs = append(refs, ownerOf(first, ino, user)...)
	}
	return refs
}

// ownerOf opens the user namespace that owns namespaces, the outermost if there are several, unless it is one of these.
func ownerOf(namespaces []Ref, known ...uint64) (owner []Ref) {
	outermost := uint64(0)
	for _, ref := range namespaces {
		if owner != nil && belongs(ref.fd(), outermost) {
			continue
		}
		fd, err := unix.IoctlRetInt(ref.fd(), unix.NS_GET_USERNS) // of a root directory there is none
		if err != nil {
			continue
		}
		path := "owner of " + ref.Path
		file := os.NewFile(uintptr(fd), path)
		if ino, err := inode(fd); err != nil || slices.Contains(known, ino) {
			_ = file.Close()
		} else {
			Close(owner)
			owner, outermost = []Ref{{Type: ownerKind, Path: path, File: file}}, ino
		}
	}
	return owner
}

// isForeign tells whether a namespace does not belong to the user namespace that is joined before it, as far as that is known.
func isForeign(ref Ref, before []Ref) bool {
	i := slices.IndexFunc(before, func(ref Ref) bool { return ref.Kind() == "user" })
	if i < 0 {
		return false
	}
	pair := []Ref{ref, before[i]}
	for i, ref := range pair {
		if ref.File != nil {
			continue
		}
		file, err := os.Open(ref.Path)
		if err != nil || !inProcess(ref.Path) {
			_ = file.Close()
			return false
		}
		defer file.Close()
		pair[i].File = file
	}
	user, err := inode(pair[1].fd())
	return err == nil && !belongs(pair[0].fd(), user)
}

// isAdmin tells whether the calling thread may join the namespaces of its own user namespace.
func isAdmin() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	return err != nil || data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}
