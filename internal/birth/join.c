//go:build linux && cgo

/* Joins the namespaces of a child, step by step, in an order that matters. The protocol of the report stands in report_linux.go. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "constructor.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80 /* since Linux 5.6, and so unknown to older headers */
#endif

/*
 * The orders that a child obeys here; see start_linux.go, and package child for the last:
 *
 *	gons_reexec_socket      FIRST-LAST: where to report, and more files; only if there are namespaces to be joined
 *	gons_reexec_owner       number of a user namespace that is joined before all others
 *	gons_reexec_time        '<', '!' or '=', then the time namespace's reference; '<': before another user namespace, if that can be
 *	gons_reexec_root        number of the directory that becomes the root directory
 *	gons_reexec_preserve    set if a child keeps its IDs in a user namespace
 *	gons_reexec_pdeath      number of a signal
 */

/*
 * The constructor of package gons, and its error message: weak, since cgo links this file
 * without them on trial.
 */
extern void gonamespaces(void) __attribute__((weak));
extern char *gonsmsg __attribute__((weak));

/*
 * undumpable: from now on only a process that is privileged in a parent of this one's user namespace may trace it, or see
 * its files below /proc (ptrace(2), CVE-2019-5736). Executing a program ends that. The race detector reads
 * its options from /proc/self/environ, which then belongs to root; so with it the Go side does this, later.
 */
static void undumpable(void)
{
#ifdef BIRTH_RACE
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* new credentials may have made it undumpable */
#else
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

/* ask_for_death asks for a signal at the parent's death. New credentials, and a clone, take that away (prctl(2)). */
static void ask_for_death(void)
{
	const char *death = birth_order("gons_reexec_pdeath");

	if (death)
		prctl(PR_SET_PDEATHSIG, atoi(death), 0, 0, 0);
}

/* prepare is what a child does first. It returns the last of the files that are for the constructor alone. */
static int prepare(const char *socket)
{
	int last;
	char more;

	/* 1. The parent must see the socket end, so no other program may inherit it. */
	if (sscanf(socket, "%d-%d%c", &birth_parent, &last, &more) != 2 || birth_parent <= STDERR_FILENO || last < birth_parent)
		_exit(1);
	for (int fd = birth_parent; fd <= last; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			_exit(1);

	/* 2. A constructor may have come before this one: unshare(2) with CLONE_THREAD tells threads, and does nothing else. */
	if (unshare(CLONE_THREAD) < 0 && errno == EINVAL)
		birth_fail(EINVAL, "cannot join namespaces, since the constructor of package reexec ran too late in this process: "
			   "Invalid argument (a library, as of LD_PRELOAD, has started a thread before)");

	/* 3. An orphan must not wait for ever for a reference to open. */
	ask_for_death();

	/* 4. From here on no process in the namespaces may look at this one. */
	undumpable();
	return last;
}

static int open_time(const char *path)
{
	/* O_NONBLOCK, or a FIFO would keep the child waiting for its other end. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		birth_fail(errno, "package gons: invalid gons_time reference \"%s\": %s", path, strerror(errno));
	return fd;
}

static void join_time(int fd, const char *path)
{
	if (syscall(SYS_setns, fd, CLONE_NEWTIME) < 0)
		birth_cannot_join("time", path, "");
	close(fd);
}

/*
 * birth_enter_time_for_children joins the time namespace that the parent has made for its children, with
 * unshare(2). Executing a program should have entered it, but does not on Linux 6.1. As long as
 * both differ, the kernel refuses new threads (clone(2): CLONE_VM), and Go could not start.
 */
void birth_enter_time_for_children(void)
{
	const char *path = "/proc/self/ns/time_for_children";
	struct stat here, children;

	/* Otherwise there is no /proc, or no such type. */
	if (stat("/proc/self/ns/time", &here) == 0 && stat(path, &children) == 0 && here.st_ino != children.st_ino)
		join_time(open_time(path), path);
}

/* is_root tells whether a directory is the root directory: inode, device and mount (statx(2)). Older headers do not have all of that. */
static int is_root(int fd)
{
#ifdef SYS_statx
	const int mask = 0x1100; /* STATX_INO, STATX_MNT_ID */
	uint64_t here[32] = {0}, there[32] = {0};

	if (syscall(SYS_statx, AT_FDCWD, "/", 0, mask, here) == 0 && syscall(SYS_statx, fd, "", AT_EMPTY_PATH, mask, there) == 0)
		return here[4] == there[4] && here[17] == there[17] && here[18] == there[18];
#endif
	return 0;
}

/* enter_root enters the root directory of a process, which need not be that of its mount namespace (chroot(2)), where it is another one. */
static void enter_root(const char *number)
{
	int fd = atoi(number);

	if (!is_root(fd) && (fchdir(fd) < 0 || chroot(".") < 0)) /* which takes rights that the child may not have */
		birth_cannot_join("mnt", number, errno == EPERM ? " (to enter the root directory of the process takes CAP_SYS_CHROOT)" : "");
}

/*
 * drop_groups drops the supplementary groups. This is tried before the joins, since it may be denied inside
 * (user_namespaces(7), /proc/PID/setgroups), and after them, since it takes a privilege that the child may get only there.
 * A child that may do it on neither side keeps them: root of a user namespace that an ordinary user has made.
 */
static void drop_groups(void)
{
	(void)!setgroups(0, NULL);
}

/*
 * become_root sets the IDs once all is joined. The user comes first: if 0 is not mapped, nothing half-done is left.
 * The saved user ID stays, so that a parent without CAP_KILL can still kill its child (kill(2)); it gives the child
 * nothing, as an ID that is not mapped cannot be named. The capabilities stay, too: they are lost only by who leaves user 0.
 */
static void become_root(int was_root, const char *reference)
{
	const char *hint = " (user 0 is refused in there: see PreserveCredentials)";

	drop_groups();
	if (setresuid(0, 0, -1) == 0 && setresgid(0, 0, 0) == 0)
		return;
	if (errno == EINVAL && !was_root)
		return; /* it keeps what its user has anyway */
	if (errno == EINVAL)
		hint = " (user or group 0 is not mapped in there, and the child would stay root of this side: see PreserveCredentials)";
	birth_cannot_join("user", reference, hint);
}

/* become_sibling goes on in a clone, and ends this process. */
static void become_sibling(const char *pid)
{
	long clone = birth_clone();

	if (clone < 0)
		birth_cannot_join("pid", pid, "");
	if (clone > 0) {
		birth_tell("cloned %ld %d", clone, (int)getpid());
		_exit(0); /* no exit handler of the program's: that is the clone's business */
	}
}

/* join_by_gons joins, by package gons, all that this knows; "pid" for the children of this process. */
static void join_by_gons(void)
{
	gonamespaces();
	if (gonsmsg)
		birth_fail(errno, "%s", gonsmsg);
}

/* birth_join joins the namespaces of a child, and makes its report. */
void birth_join(const char *socket)
{
	const char *user = birth_order("gons_user"), *mnt = birth_order("gons_mnt"), *pid = birth_order("gons_pid");
	const char *owner = birth_order("gons_reexec_owner"), *time = birth_order("gons_reexec_time"), *root = birth_order("gons_reexec_root");
	int becomes_root = (user || owner) && !birth_order("gons_reexec_preserve"), was_root = geteuid() == 0;
	int last = prepare(socket), time_fd = -1;

	/* 5. What must happen before the first join. */
	birth_enter_time_for_children();
	if (time && *time != '=')
		time_fd = open_time(time + 1);
	if (mnt || root)
		birth_pin_name_services(mnt ? mnt : root);
	if (becomes_root)
		drop_groups();
	if (owner && syscall(SYS_setns, atoi(owner), CLONE_NEWUSER) < 0)
		birth_cannot_join("user", owner, "");
	if (time && *time == '<' && syscall(SYS_setns, time_fd, CLONE_NEWTIME) == 0) {
		close(time_fd);
		time = NULL; /* or else it may belong to that user namespace */
	}

	/* 6. In the order of the caller. */
	join_by_gons();

	/* 7. What gons does not know. A plain reference is opened only now, in the namespaces that were joined before. */
	if (time)
		join_time(time_fd >= 0 ? time_fd : open_time(time + 1), time + 1);
	if (root)
		enter_root(root);
	if (becomes_root)
		become_root(was_root, user ? user : owner);

	/* 8. New credentials have reset the dumpable flag to fs.suid_dumpable. */
	undumpable();

	/* 9. In a PID namespace there can be children, but no threads (pid_namespaces(7)). */
	if (pid)
		become_sibling(pid);

	/* 10. Only this report makes the run a success. If the parent has ended meanwhile, it fails. */
	ask_for_death();
	birth_tell("joined");
	for (int fd = birth_parent; fd <= last; fd++)
		close(fd);
}
