//go:build linux && cgo

/* Reports to the parent; the protocol stands in report_linux.go. */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "constructor.h"

int birth_parent = -1;

static char text[3 * PATH_MAX]; /* gons' message holds a path of PATH_MAX */

/* tell sends the text. A child whose parent listens no more has no purpose. */
static void tell(void)
{
	if (send(birth_parent, text, strlen(text), MSG_NOSIGNAL) < 0)
		_exit(1);
}

void birth_tell(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	tell();
}

/* No initialiser of the program shall run in half-joined namespaces. */
void birth_fail(int cause, const char *format, ...)
{
	int n = birth_parent < 0 ? 0 : sprintf(text, "failed %d ", cause);
	va_list args;

	va_start(args, format);
	vsnprintf(text + n, sizeof(text) - n, format, args);
	va_end(args);
	if (birth_parent < 0)
		dprintf(STDERR_FILENO, "%s", text); /* there is no socket, or, of a set-user-ID program, none to be trusted */
	else
		tell();
	_exit(1);
}

void birth_fail_to(int cause, const char *what, const char *type, const char *path, const char *hint)
{
	birth_fail(cause, "package gons: %s gons_%s %sreference \"%s\": %s%s",
		   what, type, strcmp(what, "invalid") ? "using " : "", path, strerror(cause), hint);
}
