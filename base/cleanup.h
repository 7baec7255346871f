/*
 * Cleanup by attribute: the variable is initialised where it is declared and
 * releases what it holds at the end of its scope. steal_fd() and steal_ptr()
 * hand the content over to someone else.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

void cleanup_free_function(void *pointer_to_pointer);
void cleanup_fd_function(int *fd);
void cleanup_file_function(FILE **file);
void cleanup_dir_function(DIR **dir);
void cleanup_strv_function(char ***strv);

#define cleanup_free CLEANUP(cleanup_free_function)
#define cleanup_fd   CLEANUP(cleanup_fd_function)   /* int, -1 when empty */
#define cleanup_file CLEANUP(cleanup_file_function) /* FILE * */
#define cleanup_dir  CLEANUP(cleanup_dir_function)  /* DIR * */
#define cleanup_strv CLEANUP(cleanup_strv_function) /* char **, and strings */

/* Defines cleanup_NAME for `struct type *` variables released by function. */
#define DEFINE_CLEANUP(type, function)                        \
	static inline void function##_cleanup(type *variable) \
	{                                                     \
		if (*variable)                                \
			function(*variable);                  \
	}                                                     \
	struct error

int steal_fd(int *fd);
void close_fd(int *fd); /* closes, keeps errno, sets to -1 */

#define steal_ptr(pointer)                                \
	({                                                \
		__auto_type steal_ptr_value = *(pointer); \
		*(pointer) = NULL;                        \
		steal_ptr_value;                          \
	})

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
