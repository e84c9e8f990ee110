#pragma GCC visibility push(hidden) /* or those of a program would be taken for those of a plugin */

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80 /* since Linux 5.6, and so unknown to older headers */
#endif

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

/* report.c: the socket to the parent, or -1; and the functions that send a report, or end a child and say why. */
extern int birth_parent;
extern void birth_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern void birth_fail(int cause, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));
extern void birth_fail_to(int cause, const char *what, const char *type, const char *path, const char *hint) __attribute__((noreturn));

/* time.c: time namespaces. */
extern int birth_open_time(const char *path);
extern void birth_join_time(int fd, const char *path);
extern void birth_enter_time_for_children(void);

/* orders.c: what the parent has told this process. */
extern char *birth_orders;      /* NAME=VALUE, each with a zero byte behind it; NULL if there are none */
extern int birth_orders_size;   /* in bytes */
extern void birth_take_orders(void);
extern const char *birth_order(const char *name);
extern void birth_blank_orders(void);
extern void birth_close_on_exec(void);

/* identity.c: who a child is in a user namespace. */
extern void birth_drop_groups(void);
extern void birth_become_root(int was_root, const char *reference);

/* root.c: the files that a process in there sees. */
extern void birth_enter_root(const char *number);

/* names.c: no code from a mount namespace. */
extern void birth_pin_name_services(const char *reference);

/* clone.c: goes on as a sibling. */
extern long birth_clone(void);

#pragma GCC visibility pop
