//go:build linux && cgo

/* Enters the root directory of a process, which need not be that of its mount namespace (chroot(2)). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "constructor.h"

/* identify tells which directory this is: inode, device and mount, which headers older than the kernel do not have (statx(2)). */
static int identify(int fd, const char *path, uint64_t id[3])
{
	int known = 0;
#ifdef SYS_statx
	uint64_t statx[32] = {0};

	known = syscall(SYS_statx, fd, path, AT_EMPTY_PATH, 0x1100 /* STATX_INO, STATX_MNT_ID */, statx) == 0;
	id[0] = statx[4], id[1] = statx[17], id[2] = statx[18];
#endif
	return known;
}

/* birth_enter_root changes nothing if the child is there already: it takes rights that the child may not have. */
void birth_enter_root(const char *number)
{
	uint64_t here[3], there[3];
	int fd = atoi(number);

	if (identify(AT_FDCWD, "/", here) && identify(fd, "", there) &&
	    here[0] == there[0] && here[1] == there[1] && here[2] == there[2])
		return;
	if (fchdir(fd) < 0 || chroot(".") < 0)
		birth_fail_to(errno, "cannot join", "mnt", number,
			      errno == EPERM ? " (to enter the root directory of the process takes CAP_SYS_CHROOT)" : "");
}
