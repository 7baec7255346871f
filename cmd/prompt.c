#include "cmd/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

/* Signals that would leave the terminal without its echo. */
static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};

static volatile sig_atomic_t caught;

static void catch_signal(int signal)
{
	caught = signal;
}

static void catch_all(struct sigaction old[ARRAY_SIZE(ending)])
{
	/* Without SA_RESTART: the read has to end. */
	const struct sigaction action = {.sa_handler = catch_signal};

	caught = 0;
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		sigaction(ending[i], &action, &old[i]);
}

static void catch_none(const struct sigaction old[ARRAY_SIZE(ending)])
{
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		sigaction(ending[i], &old[i], NULL);
}

/* 1 and a line, or 0 at the end of the input. */
static int read_line(int fd, char line[PROMPT_MAX])
{
	size_t length = 0;
	int r = 0;

	while (!caught) {
		char character;
		ssize_t part = read(fd, &character, 1);

		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0)
			return -errno;
		if (part == 0 || character == '\n')
			break;
		r = 1;
		if (length + 1 == PROMPT_MAX)
			return -E2BIG;
		line[length++] = character;
	}
	line[length] = '\0';
	return r;
}

static int ask_quietly(int fd, char line[PROMPT_MAX])
{
	struct sigaction old[ARRAY_SIZE(ending)];
	struct termios shown, hidden;
	int r;

	if (tcgetattr(fd, &shown) < 0)
		return -errno;
	catch_all(old);
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fd, TCSAFLUSH, &hidden);
	r = read_line(fd, line);
	tcsetattr(fd, TCSAFLUSH, &shown);
	(void)write_all(fd, "\n", 1);
	catch_none(old);
	if (caught)
		raise(caught);
	return r;
}

int prompt_ask(const char *question, bool echo, char **ret_answer,
	       struct error *err)
{
	cleanup_fd int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	char line[PROMPT_MAX];
	int r;

	if (fd < 0 || !isatty(STDIN_FILENO))
		return -ENOTTY;
	r = write_all(fd, question, strlen(question));
	if (r == 0)
		r = echo ? read_line(fd, line) : ask_quietly(fd, line);
	if (r < 0)
		return err_number(err, r, "cannot ask on the terminal");
	*ret_answer = xstrdup(line);
	explicit_bzero(line, sizeof(line));
	return 0;
}

bool prompt_confirm(const char *question)
{
	cleanup_free char *line = NULL;
	size_t size = 0;

	printf("%s\nAre you sure you want to continue? [y/N] ", question);
	fflush(stdout);
	if (getline(&line, &size, stdin) < 0)
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	return strcasecmp(line, "y") == 0;
}
