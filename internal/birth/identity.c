//go:build linux && cgo

/*
 * Makes the child root of the user namespace that it joins, as nsenter(1) does. Joining changes no IDs: root's child would
 * stay user 0 of this side, and whatever the namespace puts in its way would meet that user.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <string.h>
#include <unistd.h>

#include "constructor.h"

/*
 * birth_drop_groups drops the supplementary groups. This is tried before the joins, since it may be denied inside
 * (user_namespaces(7), /proc/PID/setgroups), and after them, since it takes a privilege that the child may get only there.
 * A child that may do it on neither side keeps them: root of a user namespace that an ordinary user has made.
 */
void birth_drop_groups(void)
{
	(void)!setgroups(0, NULL);
}

/*
 * birth_become_root sets the IDs once all is joined. The user comes first: if 0 is not mapped, nothing half-done is left.
 * The saved user ID stays, so that a parent without CAP_KILL can still kill its child (kill(2)); it gives the child
 * nothing, as an ID that is not mapped cannot be named. The capabilities stay, too: they are lost only by who leaves user 0.
 */
void birth_become_root(int was_root, const char *reference)
{
	const char *hint = " (user 0 is refused in there: see PreserveCredentials)";

	birth_drop_groups();
	if (setresuid(0, 0, -1) == 0 && setresgid(0, 0, 0) == 0)
		return;
	if (errno == EINVAL && !was_root)
		return; /* it keeps what its user has anyway */
	if (errno == EINVAL)
		hint = " (user or group 0 is not mapped in there, and the child would stay root of this side: see PreserveCredentials)";
	birth_fail_to(errno, "cannot join", "user", reference, hint);
}
