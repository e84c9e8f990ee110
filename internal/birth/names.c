//go:build linux && cgo

/*
 * Keeps glibc from loading code of the mount namespace that a child joins. Its name services, which packages net and
 * os/user ask with cgo, are modules that /etc/nsswitch.conf names (nsswitch.conf(5), CVE-2019-14271).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "constructor.h"

/* Weak, since musl has no name services, and not every static program does. nss.h is glibc's own. */
extern int __nss_configure_lookup(const char *database, const char *services) __attribute__((weak));
extern void *dlopen(const char *file, int mode) __attribute__((weak));

/*
 * birth_pin_name_services limits glibc to looking names up in files, and hosts also by DNS. It is called before anything is
 * joined, since the first call reads /etc/nsswitch.conf.
 */
void birth_pin_name_services(const char *reference)
{
	static const char *const databases[] = {
		"aliases", "ethers", "group", "gshadow", "hosts", "initgroups", "netgroup",
		"networks", "passwd", "protocols", "publickey", "rpc", "services", "shadow",
	};
	const char *hint = " (name services cannot be kept from loading its code)";
	char version[64] = "";

	if (!__nss_configure_lookup)
		return;
	for (size_t i = 0; i < sizeof(databases) / sizeof(databases[0]); i++) {
		const char *services = strcmp(databases[i], "hosts") ? "files" : "files dns";

		/* EINVAL: this version does not know the database. */
		if (__nss_configure_lookup(databases[i], services) < 0 && errno != EINVAL)
			birth_cannot_join("mnt", reference, hint);
	}
	/* Before glibc 2.34 these are modules as well, which would be loaded on first use. */
	confstr(_CS_GNU_LIBC_VERSION, version, sizeof(version));
	if (strverscmp(version, "glibc 2.34") < 0 &&
	    (!dlopen || !dlopen("libnss_files.so.2", RTLD_NOW) || !dlopen("libnss_dns.so.2", RTLD_NOW))) {
		errno = ELIBACC;
		birth_cannot_join("mnt", reference, hint);
	}
}
