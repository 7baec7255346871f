#include "cmd/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "cmd/command.h"
#include "cmd/member.h"
#include "cmd/text.h"

#define LINE_SIZE     4096
#define BAR_MAX	      50
#define BAR_MIN	      10
#define COLUMNS_SMALL 40
#define RATE_AFTER_NS 300000000 /* before that a rate is noise */

void progress_text(char ret_text[PROGRESS_TEXT_MAX], const char *verb,
		   uint64_t bytes, uint64_t total, uint64_t rate,
		   unsigned int columns)
{
	cleanup_free char *done = format_bytes(bytes);
	cleanup_free char *all = format_bytes(total);
	cleanup_free char *speed = format_bytes(rate);
	char amount[96];
	char bar[BAR_MAX + 4] = "";
	int room;

	snprintf(amount, sizeof(amount), "%s%s%s%s%s%s", done, total ? "/" : "",
		 total ? all : "", rate ? "  " : "", rate ? speed : "",
		 rate ? "/s" : "");
	/* The last column stays free: some terminals wrap when it is used. */
	room = (int)columns - 1 - (int)strlen(verb) - (int)strlen(amount) - 4;
	if (room > BAR_MAX)
		room = BAR_MAX;
	if (total > 0 && room >= BAR_MIN) {
		double part = (double)bytes / (double)total;
		int filled = part >= 1 ? room : (int)(part * room);

		snprintf(bar, sizeof(bar), "[%*s] ", room, "");
		memset(bar + 1, '=', (size_t)filled);
		if (filled < room)
			bar[1 + filled] = '>';
	}
	snprintf(ret_text, PROGRESS_TEXT_MAX, "%s %s%s", verb, bar, amount);
}

struct drawing {
	int fd;
	bool quiet;
	bool bar;
	bool drawn;
	char layer[72];
	struct timespec begin; /* of that layer */
	uint64_t begin_bytes;
};

static void bar_clear(struct drawing *drawing)
{
	if (drawing->drawn)
		dprintf(drawing->fd, "\r\033[K");
	drawing->drawn = false;
}

static uint64_t rate_of(const struct drawing *drawing, uint64_t bytes)
{
	struct timespec now;
	int64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (now.tv_sec - drawing->begin.tv_sec) * 1000000000LL +
	     (now.tv_nsec - drawing->begin.tv_nsec);
	if (ns < RATE_AFTER_NS || bytes <= drawing->begin_bytes)
		return 0;
	return (uint64_t)((double)(bytes - drawing->begin_bytes) * 1e9 /
			  (double)ns);
}

static unsigned int columns_of_terminal(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return COLUMNS_SMALL;
}

static void on_progress(struct drawing *drawing, const char *id,
			const char *status, const cJSON *detail)
{
	uint64_t bytes = (uint64_t)number_of(detail, "current");
	uint64_t total = (uint64_t)number_of(detail, "total");
	cleanup_free char *plain = text_printable(status, true);
	cleanup_free char *verb = text_cut(plain, COLUMNS_SMALL);
	char text[PROGRESS_TEXT_MAX];

	if (strncmp(id, drawing->layer, sizeof(drawing->layer) - 1) != 0) {
		snprintf(drawing->layer, sizeof(drawing->layer), "%s", id);
		clock_gettime(CLOCK_MONOTONIC, &drawing->begin);
		drawing->begin_bytes = bytes;
	}
	progress_text(text, verb, bytes, total, rate_of(drawing, bytes),
		      columns_of_terminal(drawing->fd));
	dprintf(drawing->fd, "\r\033[K%s", text);
	drawing->drawn = true;
}

static void on_message(struct drawing *drawing, const cJSON *message)
{
	const cJSON *detail = member_of(message, "progressDetail");
	const char *warning = text_of(message, "warning");
	const char *id = text_of(message, "id");
	cleanup_free char *status =
		text_printable(text_of(message, "status"), true);
	cleanup_free char *plain_id = text_printable(id, true);

	if (*warning) {
		bar_clear(drawing);
		report_warning("%s", warning);
	} else if (drawing->quiet) {
		return;
	} else if (detail && detail->child) {
		if (drawing->bar)
			on_progress(drawing, id, status, detail);
	} else {
		bar_clear(drawing);
		dprintf(drawing->fd, "%s%s%s\n", plain_id, *id ? ": " : "",
			status);
	}
}

static void on_line(struct drawing *drawing, const char *line)
{
	cleanup_json cJSON *message = NULL;

	if (json_parse(line, strlen(line), "progress", &message, NULL) == 0)
		on_message(drawing, message);
}

static void draw(struct drawing *drawing, int fd)
{
	cleanup_file FILE *file = fdopen(fd, "r");
	char line[LINE_SIZE];

	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		on_line(drawing, line);
	}
	bar_clear(drawing);
}

void progress_open(const struct progress_options *options,
		   struct progress *ret_progress)
{
	struct drawing drawing = {
		.fd = options->fd,
		.quiet = options->quiet,
		.bar = isatty(options->fd) &&
		       !str_equal(getenv("TERM"), "dumb"),
	};
	int ends[2];

	*ret_progress = (struct progress){.fd = -1};
	/* Without it the work is the same, only silent. */
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	fflush(NULL);
	ret_progress->pid = fork();
	if (ret_progress->pid == 0) {
		/* Ctrl-C ends the transfer, and that the pipe. */
		signal(SIGINT, SIG_IGN);
		close(ends[1]);
		draw(&drawing, ends[0]);
		_exit(0);
	}
	close(ends[0]);
	if (ret_progress->pid < 0)
		close(ends[1]);
	else
		ret_progress->fd = ends[1];
}

void progress_close(struct progress *progress)
{
	if (progress->fd < 0)
		return;
	close_fd(&progress->fd);
	(void)proc_wait(progress->pid);
}
