#pragma GCC visibility push(hidden) /* or those of a program would be taken for those of a plugin */

/* What the constructor has found out about this process. */
enum {
	BIRTH_UNSEEN,  /* nothing: it did not run */
	BIRTH_SEEN,    /* it ran */
	BIRTH_LIBRARY, /* it is part of a library, so the executable is another program */
	BIRTH_LOADED,  /* the loader was told to run this program, so the executable is the loader */
	BIRTH_SECURE,  /* set-user-ID, set-group-ID, or with file capabilities */
};

extern int birth_state;
extern int birth_ignores_term; /* SIGTERM was ignored, which Go's runtime would forget; it keeps SIGINT and SIGHUP so */

/* What the parent has told this process. */
extern const char *birth_order(const char *name);

/* join.c: into the namespaces. */
extern void birth_join(const char *socket);
extern void birth_enter_time_for_children(void);

/* report.c: the socket to the parent, or -1; and the functions that send a report, or end a child and say why. */
extern int birth_parent;
extern void birth_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern void birth_fail(int cause, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));
extern void birth_cannot_join(const char *type, const char *path, const char *hint) __attribute__((noreturn)); /* because of errno */

/* names.c: no code from a mount namespace. */
extern void birth_pin_name_services(const char *reference);

/* clone.c: goes on as a sibling. */
extern long birth_clone(void);

#pragma GCC visibility pop
