//go:build linux && cgo

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "constructor.h"

/*
 * birth_clone clones this process. The clone is a child of its parent's own
 * (CLONE_PARENT), and in the PID namespace that this process has set for its
 * children. It goes on with a copy of this process, capabilities included; since
 * it executes no program, it needs neither a file nor a loader in there.
 *
 * Both C libraries keep the thread ID of this process, and a bare clone(2) leaves that to
 * the clone: a signal that the clone raises would hit the process with this ID in its PID
 * namespace. In glibc it is at the address of CLONE_CHILD_CLEARTID, which prctl(2) knows, and the
 * kernel can write the clone's there. In musl something else is at this address, and the
 * ID is near the beginning of what pthread_self() points to; the clone does what musl's
 * fork() does.
 *
 * Nor does a bare clone(2) inherit the list of robust mutexes, whose head the C library has told the kernel, once and for
 * all (set_robust_list(2)): without it those that the clone holds at its end would stay locked. musl tells of it with the
 * first such mutex, so usually there is none yet.
 */
long birth_clone(void)
{
	unsigned long flags = CLONE_PARENT | SIGCHLD;
	uint64_t address = 0; /* a 64-bit kernel writes 8 bytes, also for a 32-bit process */
	int self = syscall(SYS_gettid);
	int *tid = NULL, *kept = NULL;
	void *robust = NULL;
	size_t robust_size = 0;
	long clone;

	if (prctl(PR_GET_TID_ADDRESS, &address, 0, 0, 0) == 0)
		tid = (int *)(uintptr_t)address;
	if (tid && *tid == self)
		flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
	else
		for (int i = 0; i < 32 && !kept; i++)
			if (((int *)pthread_self())[i] == self)
				kept = (int *)pthread_self() + i;
	syscall(SYS_get_robust_list, 0, &robust, &robust_size);
#ifdef __s390x__
	clone = syscall(SYS_clone, NULL, flags, NULL, tid, NULL);
#else
	/* The address comes last but one on x86-64, and last elsewhere; the other one of both goes unused. */
	clone = syscall(SYS_clone, flags, NULL, NULL, tid, tid);
#endif
	if (clone == 0 && kept)
		*kept = syscall(SYS_set_tid_address, tid);
	if (clone == 0 && robust)
		syscall(SYS_set_robust_list, robust, robust_size);
	return clone;
}
