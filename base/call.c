/* proc_call() and proc_spawn_orphan() of base/proc.h. */
#include "base/proc.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

#include "base/cleanup.h"

#define STACK_SIZE (256u << 10) /* touched as far as needed */

struct call {
	int (*function)(void *data, struct error *err);
	void *data;
	struct error *err;
	int result;
};

static int run_call(void *data)
{
	struct call *call = data;

	call->result = call->function(call->data, call->err);
	return 0;
}

int proc_call(int (*function)(void *data, struct error *err), void *data,
	      struct error *err)
{
	struct call call = {.function = function, .data = data, .err = err};
	sigset_t all;
	sigset_t mask;
	char *stack;
	pid_t pid;

	stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack == MAP_FAILED)
		return err_errno(err, "cannot start a process");
	/* No handler of ours may run in our memory beside us. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	pid = clone(run_call, stack + STACK_SIZE,
		    CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, &call);
	if (pid < 0)
		call.result = err_errno(err, "cannot start a process");
	sigprocmask(SIG_SETMASK, &mask, NULL);
	munmap(stack, STACK_SIZE);
	if (pid > 0 && proc_wait(pid) > 0 && call.result >= 0)
		call.result = err_set(err, ERROR_GENERIC,
				      "a process was killed in the middle of "
				      "its work");
	return call.result;
}

static int spawn(void *data, struct error *err)
{
	return proc_spawn(data, err);
}

pid_t proc_spawn_orphan(const struct spawn *request, struct error *err)
{
	struct spawn copy = *request;

	return proc_call(spawn, &copy, err);
}
