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

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80 /* since Linux 5.6, and so unknown to older headers */
#endif

/* What a parent tells this file in the environment; see start_linux.go and package orders. */
#define CHILD_VAR "gons_reexec_child"   /* in each child of this package: '=', here made '+', then the action's name */
#define ACTION_VAR "gons_reexec_action" /* the action's name, also in children of the package that this one succeeds */
#define SOCKET_VAR "gons_reexec_socket" /* FIRST-LAST: where to report, and more files; only if there are namespaces to be joined */
#define TIME_VAR "gons_reexec_time"     /* '!' or '=', then the time namespace's reference */
#define DEATH_VAR "gons_reexec_pdeath"  /* number of a signal, see package orders */

int birth_state = BIRTH_UNSEEN;

/*
 * The constructor of package gons, and its error message: weak, since cgo links this file
 * without them on trial. A version of gons without them is a failure to be reported.
 */
extern void gonamespaces(void) __attribute__((weak));
extern char *gonsmsg __attribute__((weak));

/* The header of the file that this code was linked into; not every linker defines it. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((weak, visibility("hidden")));

static int parent = -1; /* the socket to the parent */
static int last = -1;   /* the last of the files behind it that are for the constructor alone */

/* tell sends a report. A child whose parent listens no more has no purpose. */
static void tell(const char *format, ...)
{
	static char text[3 * PATH_MAX]; /* gons' message holds a path of PATH_MAX */
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (send(parent, text, strlen(text), MSG_NOSIGNAL) < 0)
		_exit(1);
}

/* fail reports why, and ends the child: no initialiser of the program shall run in half-joined namespaces. */
static void fail(int cause, const char *message)
{
	if (parent < 0)
		dprintf(STDERR_FILENO, "%s", message); /* there is no socket, or, of a set-user-ID program, none to be trusted */
	else
		tell("failed %d %s", cause, message);
	_exit(1);
}

/* fail_with is fail with a message made after gons' model. */
static void fail_with(int cause, const char *what, const char *type, const char *path)
{
	static char message[2 * PATH_MAX];

	snprintf(message, sizeof(message), "package gons: %s gons_%s %sreference \"%s\": %s",
		 what, type, strcmp(what, "invalid") ? "using " : "", path, strerror(cause));
	fail(cause, message);
}

static int open_time(const char *path)
{
	/* O_NONBLOCK, or a FIFO would keep the child waiting for its other end. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		fail_with(errno, "invalid", "time", path);
	return fd;
}

static void join_time(int fd, const char *path)
{
	if (syscall(SYS_setns, fd, CLONE_NEWTIME) < 0)
		fail_with(errno, "cannot join", "time", path);
	close(fd);
}

/*
 * enter_time_for_children joins the time namespace that the parent has made for its children, with
 * unshare(2). Executing a program should have entered it, but does not on Linux 6.1. As long as
 * both differ, the kernel refuses new threads (clone(2): CLONE_VM), and Go could not start.
 */
static void enter_time_for_children(void)
{
	const char *path = "/proc/self/ns/time_for_children";
	char here[64], children[64];
	ssize_t n = readlink("/proc/self/ns/time", here, sizeof(here));
	ssize_t m = readlink(path, children, sizeof(children));

	/* Otherwise there is no /proc, or no such type. */
	if (n > 0 && m > 0 && (n != m || memcmp(here, children, n)))
		join_time(open_time(path), path);
}

/*
 * blank empties the variables of package gons, and those of this package if asked to, in
 * place: nothing may be taken out, since Go finds its auxiliary vector behind the environment.
 */
static void blank(int ours)
{
	for (char **variable = environ; variable && *variable; variable++) {
		char *sign = strchr(*variable, '='); /* whoever has made the environment may have left it out */

		if (sign && !strncmp(*variable, "gons_", 5) && (ours || strncmp(*variable, "gons_reexec_", 12)))
			sign[1] = '\0';
	}
}

/*
 * undumpable keeps all but the superuser of this process' own user namespace's parents from tracing it, and
 * from what /proc shows of it (ptrace(2), CVE-2019-5736). Executing a program ends that. The race detector reads
 * its options from /proc/self/environ, and an ordinary user could not; so with it the Go side does this, later.
 */
static void undumpable(void)
{
#ifndef BIRTH_RACE
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

/* prepare is what a child does before it joins anything. */
static void prepare(const char *death)
{
	/* 1. Its end must be seen by the parent, so nothing that is executed may hold the socket. */
	for (int fd = parent; fd <= last; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);

	/* 2. A library that is loaded late comes too late: unshare(2) with CLONE_THREAD tells threads, and does nothing else. */
	if (birth_state == BIRTH_LIBRARY || (unshare(CLONE_THREAD) < 0 && errno == EINVAL))
		fail(EINVAL, "cannot join namespaces, since the constructor of package reexec ran too late in this process: Invalid argument");

	/* 3. An orphan shall not wait for ever for a reference to open. Joining takes this away, so Go asks again (prctl(2)). */
	if (death)
		prctl(PR_SET_PDEATHSIG, atoi(death), 0, 0, 0);

	/* 4. From here on nobody in the namespaces may look at this process. */
	undumpable();
}

/* join joins the namespaces of a child, and reports to the parent. */
static void join(void)
{
	const char *pid = getenv("gons_pid"), *time = getenv(TIME_VAR);
	int time_fd = -1;
	prepare(getenv(DEATH_VAR));

	/* 5. With the rights of before. */
	enter_time_for_children();
	if (time && *time == '!')
		time_fd = open_time(time + 1);

	/* 6. Package gons joins all that it knows, "pid" for the children of this process. */
	if (!gonamespaces || !&gonsmsg)
		fail(ENOSYS, "cannot join namespaces with this version of package gons, which lacks gonamespaces or gonsmsg: Function not implemented");
	errno = 0;
	gonamespaces();
	if (gonsmsg)
		fail(errno, gonsmsg);

	/* 7. What gons does not know, plain references looked up where the others have led to. */
	if (time)
		join_time(time_fd >= 0 ? time_fd : open_time(time + 1), time + 1);

	/* 8. New credentials have made the process what fs.suid_dumpable says. */
	undumpable();

	/* 9. In a PID namespace there can be children, but no threads (pid_namespaces(7)): a sibling takes over. */
	if (pid && *pid) {
		long clone = birth_clone();
		if (clone < 0)
			fail_with(errno, "cannot join", "pid", pid);
		if (clone > 0) {
			tell("cloned %ld %d", clone, (int)getpid());
			_exit(0); /* no exit handler of the program's: that is the clone's business */
		}
	}

	/* 10. The constructor of gons comes next, and skips what is empty. */
	blank(0);

	/* 11. Only this report makes the run a success. */
	tell("joined");
	for (int fd = parent; fd <= last; fd++)
		close(fd);
}

/*
 * Priority 101 is the first that is not the C library's own: it comes before the constructor of gons,
 * which has none, and before that which starts the Go runtime in a C archive.
 */
__attribute__((constructor(101))) static void birth_constructor(void)
{
	const char *socket = getenv(SOCKET_VAR);
	char *child = getenv(CHILD_VAR), *action = getenv(ACTION_VAR);

	birth_state = BIRTH_SEEN;
	if (&__ehdr_start && getauxval(AT_PHDR) != (uintptr_t)&__ehdr_start + __ehdr_start.e_phoff)
		birth_state = BIRTH_LIBRARY; /* the executable is another file */

	/* Whoever runs a set-user-ID program (getauxval(3): AT_SECURE) gives it no orders. */
	if (getauxval(AT_SECURE)) {
		birth_state = BIRTH_SECURE;
		if (child && *child) /* as if it were no child, it would run main, and start children of its own */
			fail(EPERM, "gons/reexec: a set-user-ID program does not act as a child");
		blank(1);
		return;
	}

	/*
	 * An initialiser may call the package that this one succeeds, which would take any action that it finds for
	 * its own; and may start children of that package, which inherit this mark, but are none of ours.
	 */
	if (!child || *child != '=')
		return;
	*child = '+';
	if (action)
		*action = '\0';
	if (socket && *socket) {
		if (sscanf(socket, "%d-%d", &parent, &last) != 2)
			_exit(1);
		join();
	} else
		enter_time_for_children();
}
