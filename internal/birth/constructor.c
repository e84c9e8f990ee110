//go:build linux && cgo

/*
 * Runs ahead of the Go runtime, finds out whether this process is a child, and takes its orders.
 *
 * The kernel lets only a process with a single thread join a user, mount or time namespace
 * (setns(2)), and the Go runtime has several from the beginning. So a child joins its namespaces here (join.c). Its orders leave
 * the environment: an initialiser of another package can then neither see them, hand them on to a program that it starts, nor lose
 * them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "constructor.h"

int birth_state = BIRTH_UNSEEN;
int birth_ignores_term;

static char *orders;       /* NAME=VALUE, each with a zero byte behind it */
static size_t orders_size; /* in bytes; 0 in a process that is no child */

/* is_order tells whether a variable is this package's, or package gons'. */
static int is_order(const char *variable)
{
	return !strncmp(variable, "gons_", 5);
}

/* take_orders copies the orders; they stay in the environment, where package gons looks for its own. */
static void take_orders(void)
{
	FILE *copy = open_memstream(&orders, &orders_size);

	for (char **variable = environ; copy && *variable; variable++)
		if (is_order(*variable))
			fwrite(*variable, 1, strlen(*variable) + 1, copy);
	if (!copy || fclose(copy) != 0)
		birth_fail(ENOMEM, "gons/reexec: cannot copy the orders of a child: %s", strerror(ENOMEM));
}

/* birth_order returns the value of an order, the first one as getenv(3) does. It returns NULL if there is none, or if it is empty. */
const char *birth_order(const char *name)
{
	size_t length = strlen(name);

	for (char *order = orders; order < orders + orders_size; order += strlen(order) + 1)
		if (!strncmp(order, name, length) && order[length] == '=')
			return order[length + 1] ? order + length + 1 : NULL;
	return NULL;
}

/*
 * blank_orders blanks all orders in place, names included: Go passes over empty variables. Nothing may be taken
 * out, since Go finds its auxiliary vector behind the environment.
 */
static void blank_orders(void)
{
	for (char **variable = environ; variable && *variable; variable++)
		if (is_order(*variable))
			memset(*variable, 0, strlen(*variable));
}

/* close_on_exec keeps the files of a child from what it starts: orders that are numbers of descriptors have names that say so. */
static void close_on_exec(void)
{
	for (char *order = orders; order < orders + orders_size; order += strlen(order) + 1) {
		int fd;

		if (sscanf(order, "gons_reexec_fd_%*[a-z]=%d", &fd) == 1 && fd > STDERR_FILENO)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
}

/*
 * find_constructor finds out, at the program among the files that are loaded, whether the constructor is in one of its segments.
 * Tools that rewrite programs move headers (patchelf(1)), but not that.
 */
static int find_constructor(struct dl_phdr_info *file, size_t size, void *unused)
{
	int interpreted = 0;

	(void)size, (void)unused;
	if ((uintptr_t)file->dlpi_phdr != getauxval(AT_PHDR))
		return 0;
	for (int i = 0; i < file->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &file->dlpi_phdr[i];

		interpreted |= segment->p_type == PT_INTERP;
		if (segment->p_type == PT_LOAD && (uintptr_t)find_constructor - file->dlpi_addr - segment->p_vaddr < segment->p_memsz)
			birth_state = BIRTH_SEEN;
	}
	/* The kernel has loaded no interpreter, although there is one (getauxval(3)): "ld.so PROGRAM" (ld.so(8)). */
	if (birth_state == BIRTH_SEEN && interpreted && !getauxval(AT_BASE))
		birth_state = BIRTH_LOADED;
	return 1;
}

/*
 * Priority 101 is the first that is not the C library's own: it comes before the constructor of gons,
 * which has none, and before that which starts the Go runtime in a C archive.
 */
__attribute__((constructor(101))) static void birth_constructor(void)
{
	const char *child = getenv("gons_reexec_child"), *socket;
	struct sigaction term;

	birth_state = BIRTH_LIBRARY;
	dl_iterate_phdr(find_constructor, NULL);

	/* A set-user-ID program (getauxval(3): AT_SECURE) takes no orders from its user. */
	if (getauxval(AT_SECURE)) {
		birth_state = BIRTH_SECURE;
		if (child && *child) /* as if it were no child, it would run main, and start children of its own */
			birth_fail(EPERM, "gons/reexec: a set-user-ID program does not act as a child");
		blank_orders();
		return;
	}

	/* A library leaves orders to its program. */
	if (birth_state == BIRTH_LIBRARY || !child || !*child)
		return;
	take_orders();
	close_on_exec();
	birth_ignores_term = sigaction(SIGTERM, NULL, &term) == 0 && term.sa_handler == SIG_IGN;
	socket = birth_order("gons_reexec_socket");
	if (socket)
		birth_join(socket);
	else
		birth_enter_time_for_children();

	/* The constructor of gons comes next, and finds nothing to do. */
	blank_orders();
}
