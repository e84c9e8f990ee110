//go:build linux && cgo

/*
 * Joins the namespaces of a child, before the Go runtime starts.
 *
 * The kernel lets only a process with a single thread join a user, mount or time namespace
 * (setns(2)), and the Go runtime has several from the beginning. A constructor runs ahead of it,
 * step by step, in an order that matters. Its Go side is start_linux.go, and the protocol stands in report_linux.go.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "constructor.h"

/* Orders that this file obeys; see start_linux.go, and packages orders and birth. */
#define CHILD_VAR "gons_reexec_child"        /* set in each child of this package, and in no other process */
#define SOCKET_VAR "gons_reexec_socket"      /* FIRST-LAST: where to report, and more files; only if there are namespaces to be joined */
#define OWNER_VAR "gons_reexec_owner"        /* number of a user namespace that is joined before all others */
#define TIME_VAR "gons_reexec_time"          /* '<', '!' or '=', then the time namespace's reference; '<': before another user namespace, if that can be */
#define ROOT_VAR "gons_reexec_root"          /* number of the directory that becomes the root directory */
#define PRESERVE_VAR "gons_reexec_preserve"  /* set if a child keeps its IDs in a user namespace */
#define DEATH_VAR "gons_reexec_pdeath"       /* number of a signal */

int birth_state = BIRTH_UNSEEN;
int birth_ignores_term;

/*
 * The constructor of package gons, and its error message: weak, since cgo links this file
 * without them on trial. A version of gons without them is a failure to be reported.
 */
extern void gonamespaces(void) __attribute__((weak));
extern char *gonsmsg __attribute__((weak));

/*
 * undumpable keeps all but the superuser of this process' own user namespace's parents from tracing it, and
 * from what /proc shows of it (ptrace(2), CVE-2019-5736). Executing a program ends that. The race detector reads
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
	const char *death = birth_order(DEATH_VAR);

	if (death)
		prctl(PR_SET_PDEATHSIG, atoi(death), 0, 0, 0);
}

/* prepare is what a child does before it joins anything. It returns the last of the files that are for the constructor alone. */
static int prepare(const char *socket)
{
	int last;
	char more;

	/* 1. Its end must be seen by the parent, so nothing that is executed may hold the socket. */
	if (sscanf(socket, "%d-%d%c", &birth_parent, &last, &more) != 2 || birth_parent <= STDERR_FILENO || last < birth_parent)
		_exit(1);
	for (int fd = birth_parent; fd <= last; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			_exit(1);

	/* 2. A constructor may have come before this one: unshare(2) with CLONE_THREAD tells threads, and does nothing else. */
	if (unshare(CLONE_THREAD) < 0 && errno == EINVAL)
		birth_fail(EINVAL, "cannot join namespaces, since the constructor of package reexec ran too late in this process: "
			   "Invalid argument (a library, as of LD_PRELOAD, has started a thread before)");

	/* 3. An orphan shall not wait for ever for a reference to open. */
	ask_for_death();

	/* 4. From here on nobody in the namespaces may look at this process. */
	undumpable();
	return last;
}

/* join joins the namespaces of a child. */
static void join(const char *socket)
{
	const char *user = birth_order("gons_user"), *mnt = birth_order("gons_mnt"), *pid = birth_order("gons_pid");
	const char *owner = birth_order(OWNER_VAR), *time = birth_order(TIME_VAR), *root = birth_order(ROOT_VAR);
	int becomes_root = (user || owner) && !birth_order(PRESERVE_VAR), was_root = geteuid() == 0;
	int last = prepare(socket), time_fd = -1;

	/* 5. As long as all is that of before. */
	birth_enter_time_for_children();
	if (time && *time != '=')
		time_fd = birth_open_time(time + 1);
	if (mnt || root)
		birth_pin_name_services(mnt ? mnt : root);
	if (becomes_root)
		birth_drop_groups();
	if (owner && syscall(SYS_setns, atoi(owner), CLONE_NEWUSER) < 0)
		birth_fail_to(errno, "cannot join", "user", owner, "");
	if (time && *time == '<' && syscall(SYS_setns, time_fd, CLONE_NEWTIME) == 0) {
		close(time_fd);
		time = NULL; /* or else it may belong to that user namespace */
	}

	/* 6. Package gons joins all that it knows, "pid" for the children of this process. */
	if (!gonamespaces || !&gonsmsg)
		birth_fail(ENOSYS, "cannot join namespaces with this version of package gons, which lacks gonamespaces or gonsmsg: Function not implemented");
	errno = 0;
	gonamespaces();
	if (gonsmsg)
		birth_fail(errno, "%s", gonsmsg);

	/* 7. What gons does not know, plain references looked up where the others have led to. */
	if (time)
		birth_join_time(time_fd >= 0 ? time_fd : birth_open_time(time + 1), time + 1);
	if (root)
		birth_enter_root(root);
	if (becomes_root)
		birth_become_root(was_root, user ? user : owner);

	/* 8. New credentials have made the process what fs.suid_dumpable says. */
	undumpable();

	/* 9. In a PID namespace there can be children, but no threads (pid_namespaces(7)): a sibling takes over. */
	if (pid) {
		long clone = birth_clone();
		if (clone < 0)
			birth_fail_to(errno, "cannot join", "pid", pid, "");
		if (clone > 0) {
			birth_tell("cloned %ld %d", clone, (int)getpid());
			_exit(0); /* no exit handler of the program's: that is the clone's business */
		}
	}

	/* 10. Only this report makes the run a success. If the parent has ended meanwhile, it fails. */
	ask_for_death();
	birth_tell("joined");
	for (int fd = birth_parent; fd <= last; fd++)
		close(fd);
}

/*
 * find_constructor tells, at the program among the files that are loaded, whether the constructor is in one of its segments.
 * Tools that rewrite programs move headers (patchelf(1)), but not that.
 */
static int find_constructor(struct dl_phdr_info *file, size_t size, void *state)
{
	(void)size;
	if ((uintptr_t)file->dlpi_phdr != getauxval(AT_PHDR))
		return 0;
	for (int i = 0; i < file->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &file->dlpi_phdr[i];

		if (segment->p_type == PT_LOAD && (uintptr_t)find_constructor - file->dlpi_addr - segment->p_vaddr < segment->p_memsz)
			*(int *)state = BIRTH_SEEN;
	}
	/* The kernel has loaded no interpreter, although there is one (getauxval(3)): "ld.so PROGRAM" (ld.so(8)). */
	for (int i = 0; i < file->dlpi_phnum; i++)
		if (file->dlpi_phdr[i].p_type == PT_INTERP && !getauxval(AT_BASE) && *(int *)state == BIRTH_SEEN)
			*(int *)state = BIRTH_LOADED;
	return 1;
}

/* signal_is_ignored tells whether the parent ignores a signal, and so has its children ignore it (signal(7)). */
static int signal_is_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/*
 * Priority 101 is the first that is not the C library's own: it comes before the constructor of gons,
 * which has none, and before that which starts the Go runtime in a C archive.
 */
__attribute__((constructor(101))) static void birth_constructor(void)
{
	const char *child = getenv(CHILD_VAR), *socket;

	birth_state = BIRTH_LIBRARY;
	dl_iterate_phdr(find_constructor, &birth_state);

	/* A set-user-ID program (getauxval(3): AT_SECURE) takes no orders from its user. */
	if (getauxval(AT_SECURE)) {
		birth_state = BIRTH_SECURE;
		if (child && *child) /* as if it were no child, it would run main, and start children of its own */
			birth_fail(EPERM, "gons/reexec: a set-user-ID program does not act as a child");
		birth_blank_orders();
		return;
	}

	/* A library leaves orders to its program. */
	if (birth_state == BIRTH_LIBRARY || !child || !*child)
		return;
	birth_take_orders();
	birth_close_on_exec();
	birth_ignores_term = signal_is_ignored(SIGTERM);
	socket = birth_order(SOCKET_VAR);
	if (socket)
		join(socket);
	else
		birth_enter_time_for_children();

	/* The constructor of gons comes next, and finds nothing to do. */
	birth_blank_orders();
}
