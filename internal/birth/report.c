//go:build linux && cgo

/* Reports to the parent; the protocol stands in report_linux.go. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "constructor.h"

int birth_parent = -1;

/* A child whose parent listens no more has no purpose. */
void birth_tell(const char *format, ...)
{
	char text[4 * PATH_MAX]; /* gons' message holds a path of PATH_MAX */
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (send(birth_parent, text, strlen(text), MSG_NOSIGNAL) < 0)
		_exit(1);
}

/* No initialiser of the program shall run in half-joined namespaces. */
void birth_fail(int cause, const char *format, ...)
{
	char text[3 * PATH_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (birth_parent < 0)
		dprintf(STDERR_FILENO, "%s", text); /* there is no socket, or, of a set-user-ID program, none to be trusted */
	else
		birth_tell("failed %d %s", cause, text);
	_exit(1);
}

void birth_cannot_join(const char *type, const char *path, const char *hint)
{
	birth_fail(errno, "package gons: cannot join gons_%s using reference \"%s\": %s%s", type, path, strerror(errno), hint);
}
