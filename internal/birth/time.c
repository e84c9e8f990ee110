//go:build linux && cgo

/* Joins time namespaces, which package gons does not know (time_namespaces(7)). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "constructor.h"

int birth_open_time(const char *path)
{
	/* O_NONBLOCK, or a FIFO would keep the child waiting for its other end. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		birth_fail_to(errno, "invalid", "time", path, "");
	return fd;
}

void birth_join_time(int fd, const char *path)
{
	if (syscall(SYS_setns, fd, CLONE_NEWTIME) < 0)
		birth_fail_to(errno, "cannot join", "time", path, "");
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
	char here[64], children[64];
	ssize_t n = readlink("/proc/self/ns/time", here, sizeof(here));
	ssize_t m = readlink(path, children, sizeof(children));

	/* Otherwise there is no /proc, or no such type. */
	if (n > 0 && m > 0 && (n != m || memcmp(here, children, n)))
		birth_join_time(birth_open_time(path), path);
}
