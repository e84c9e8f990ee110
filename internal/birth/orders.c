//go:build linux && cgo

/*
 * Takes the orders of a child out of the environment, before any Go code of the program runs. An initialiser of
 * another package can then neither see them, hand them on to a program that it starts, nor lose them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "constructor.h"

char *birth_orders;
int birth_orders_size;

/* The orders that are numbers of descriptors, see packages orders and testsupport. Those of the report are in constructor.c. */
static const char *const files[] = {
	"gons_reexec_answers", "gons_reexec_control", "gons_reexec_stderr", "gons_reexec_sealed", "gons_reexec_parent", "gons_reexec_coverdir",
};

/* is_order tells whether a variable is this package's, or package gons'. */
static int is_order(const char *variable)
{
	return !strncmp(variable, "gons_", 5);
}

/* birth_take_orders copies the orders; they stay in the environment, where package gons looks for its own. */
void birth_take_orders(void)
{
	size_t size = 0;
	char *end;

	for (char **variable = environ; variable && *variable; variable++)
		if (is_order(*variable))
			size += strlen(*variable) + 1;
	if (size == 0)
		return;
	end = size <= INT_MAX ? malloc(size) : NULL;
	if (!end)
		birth_fail(ENOMEM, "gons/reexec: cannot copy the orders of a child: %s", strerror(ENOMEM));
	birth_orders = end;
	birth_orders_size = size;
	for (char **variable = environ; *variable; variable++)
		if (is_order(*variable))
			end = stpcpy(end, *variable) + 1;
}

/* birth_order returns the value of an order, the first one as getenv(3) does, or NULL. An empty one is none. */
const char *birth_order(const char *name)
{
	size_t length = strlen(name);

	for (char *order = birth_orders; order && order < birth_orders + birth_orders_size; order += strlen(order) + 1)
		if (!strncmp(order, name, length) && order[length] == '=')
			return order[length + 1] ? order + length + 1 : NULL;
	return NULL;
}

/*
 * birth_blank_orders blanks all orders in place, names included: Go passes over empty variables. Nothing may be taken
 * out, since Go finds its auxiliary vector behind the environment.
 */
void birth_blank_orders(void)
{
	for (char **variable = environ; variable && *variable; variable++)
		if (is_order(*variable))
			memset(*variable, 0, strlen(*variable));
}

/* birth_close_on_exec keeps the files of a child from what it starts. An order that is no number tells of none. */
void birth_close_on_exec(void)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		const char *order = birth_order(files[i]);
		char *end;
		long fd = order ? strtol(order, &end, 10) : 0;

		if (fd > STDERR_FILENO && fd <= INT_MAX && !*end)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
}
