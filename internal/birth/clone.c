//go:build linux && cgo

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "constructor.h"

/*
 * birth_clone clones this process. The clone is a child of its parent's own
 * (CLONE_PARENT), and in the PID namespace that this process has set for its
 * children. It goes on with a copy of all there is, capabilities included; since
 * it does not execute anything, it needs neither a file nor a loader in there.
 *
 * Both C libraries keep the thread ID of this process, and a bare clone(2) leaves that to
 * the clone: a signal that the clone raises would hit whoever has this ID in its PID
 * namespace. In glibc it is at the address of CLONE_CHILD_CLEARTID, which prctl(2) knows, and the
 * kernel can write the clone's there. In musl something else is at this address, and the
 * ID is near the beginning of what pthread_self() points to; the clone does what musl's
 * fork() does.
 */
long birth_clone(void)
{
	unsigned long flags = CLONE_PARENT | SIGCHLD;
	uint64_t address = 0; /* a 64-bit kernel writes 8 bytes, also for a 32-bit process */
	int self = syscall(SYS_gettid);
	int *tid = NULL, *kept = NULL;
	long clone;

	if (prctl(PR_GET_TID_ADDRESS, &address, 0, 0, 0) == 0)
		tid = (int *)(uintptr_t)address;
	if (tid && *tid == self)
		flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
	else
		for (int i = 0; i < 32 && !kept; i++)
			if (((int *)pthread_self())[i] == self)
				kept = (int *)pthread_self() + i;
#ifdef __s390x__
	clone = syscall(SYS_clone, NULL, flags, NULL, tid, NULL);
#else
	/* The address comes last but one on x86-64, and last elsewhere; the other one of both goes unused. */
	clone = syscall(SYS_clone, flags, NULL, NULL, tid, tid);
#endif
	if (clone == 0 && kept)
		*kept = syscall(SYS_set_tid_address, tid);
	return clone;
}
