/* What the constructor has found out about this process. */
enum {
	BIRTH_UNSEEN,  /* nothing: it did not run */
	BIRTH_SEEN,    /* it ran */
	BIRTH_LIBRARY, /* it is part of a library, so the executable is another program */
	BIRTH_SECURE,  /* set-user-ID, set-group-ID, or with file capabilities */
};

/* Hidden, or that of a program would be taken for that of a plugin. */
extern int birth_state __attribute__((visibility("hidden")));

/* Goes on as a sibling; see clone.c. */
extern long birth_clone(void) __attribute__((visibility("hidden")));
