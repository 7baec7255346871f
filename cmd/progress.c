#include "cmd/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "cmd/command.h"
#include "cmd/progress_rows.h"
#include "cmd/progress_screen.h"

#define LINE_SIZE     4096 /* storage/transfer.h */
#define FRAME_MS      50   /* between two frames */
#define TICK_MS	      500  /* rates fall when nothing comes */
#define ROOM_ALL      PROGRESS_ROWS_MAX
#define HEIGHT_USUAL  24
#define WIDTH_USUAL   80
#define WIDTH_MIN     2
#define NS_PER_MS     1000000LL
#define SIGNAL_STATUS 128 /* plus the signal: ended by it */

struct show {
	int fd;
	bool quiet;
	bool drawing; /* on a terminal */
	bool patient;
	const struct progress_view *view;
	void *data;
	struct screen screen;
	bool dirty;	  /* the screen is not as the rows are */
	int64_t frame_ns; /* when it was drawn last */
	bool hidden;	  /* the cursor is */
	int failure;	  /* negative errno: what was shown is not all */
	char line[LINE_SIZE];
	size_t line_length;
	bool line_too_long;
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 * NS_PER_MS + now.tv_nsec;
}

static void put(struct show *show, const struct str *out)
{
	int r = write_all(show->fd, str_text(out), out->length);

	/* A reader that has seen enough is no failure. */
	if (r < 0 && r != -EPIPE)
		show->failure = r;
}

static void show_cursor(struct show *show)
{
	if (show->hidden)
		(void)write_all(show->fd, SCREEN_SHOW_CURSOR,
				strlen(SCREEN_SHOW_CURSOR));
	show->hidden = false;
}

/* ---- the lines of a transfer ---- */

static enum progress_event rows_feed(void *data, const char *line, int64_t now,
				     char **ret_text)
{
	return progress_rows_feed(data, line, now, ret_text);
}

static char **rows_lines(void *data, int64_t now, size_t columns, size_t room)
{
	return progress_rows_lines(data, now, columns, room);
}

static bool rows_moving(void *data)
{
	return progress_rows_moving(data);
}

static void rows_clear(void *data)
{
	progress_rows_clear(data);
}

static const struct progress_view rows_view = {
	.feed = rows_feed,
	.lines = rows_lines,
	.moving = rows_moving,
	.tick_ms = TICK_MS,
	.clear = rows_clear,
};

/* ---- drawing ---- */

/* room: how many lines there may be. */
static char **lines_now(const struct show *show, size_t room)
{
	/* The last column stays free: some terminals wrap when it is used. */
	return show->view->lines(show->data, now_ns(), show->screen.width - 1,
				 room);
}

static void draw(struct show *show, char *const *lines)
{
	cleanup_str struct str out = {0};

	if (!show->hidden && lines) {
		str_append(&out, SCREEN_HIDE_CURSOR);
		show->hidden = true;
	}
	screen_draw(&show->screen, lines, &out);
	put(show, &out);
	show->dirty = false;
	show->frame_ns = now_ns();
}

/* One frame among many: the cursor's line takes one, too. */
static void draw_frame(struct show *show)
{
	cleanup_strv char **lines = lines_now(show, show->screen.height - 1);

	draw(show, lines);
}

/* The last frame of these rows, all of them; what comes next goes below. */
static void draw_last(struct show *show)
{
	cleanup_str struct str out = {0};
	cleanup_strv char **lines = NULL;

	if (!show->drawing)
		return;
	lines = lines_now(show, ROOM_ALL);
	/* Lines that scroll away cannot be redrawn: begin where they began. */
	if (strv_length(lines) >= show->screen.height) {
		screen_erase(&show->screen, &out);
		put(show, &out);
	}
	draw(show, lines);
	screen_keep(&show->screen);
	if (show->view->clear)
		show->view->clear(show->data);
}

static void measure(struct show *show)
{
	cleanup_str struct str out = {0};
	struct winsize size = {0};

	(void)ioctl(show->fd, TIOCGWINSZ, &size);
	screen_resize(&show->screen,
		      size.ws_row > 1 ? size.ws_row : HEIGHT_USUAL,
		      size.ws_col == 0		? WIDTH_USUAL
		      : size.ws_col < WIDTH_MIN ? WIDTH_MIN
						: size.ws_col,
		      &out);
	put(show, &out);
	show->dirty = true;
}

/* ---- messages ---- */

static void print_line(struct show *show, const char *text)
{
	cleanup_str struct str out = {0};

	str_appendf(&out, "%s\n", text);
	put(show, &out);
}

static void print_warning(struct show *show, const char *text)
{
	cleanup_str struct str out = {0};

	screen_erase(&show->screen, &out);
	put(show, &out);
	report_warning("%s", text);
	show->dirty = true;
}

static void on_line(struct show *show, const char *line)
{
	cleanup_free char *text = NULL;
	enum progress_event event =
		show->view->feed(show->data, line, now_ns(), &text);

	if (event == PROGRESS_WARNING) {
		print_warning(show, text);
	} else if (event == PROGRESS_NOTHING || show->quiet) {
		return;
	} else if (event == PROGRESS_LINE) {
		draw_last(show);
		print_line(show, text);
	} else if (show->drawing) {
		show->dirty = true;
	} else if (event == PROGRESS_STATUS) {
		print_line(show, text);
	}
}

static void on_bytes(struct show *show, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] == '\n') {
			show->line[show->line_length] = '\0';
			if (!show->line_too_long)
				on_line(show, show->line);
			show->line_length = 0;
			show->line_too_long = false;
		} else if (show->line_length + 1 < sizeof(show->line)) {
			show->line[show->line_length++] = bytes[i];
		} else {
			show->line_too_long = true;
		}
	}
}

/* ---- signals ---- */

/* Ctrl-Z: the shell's terminal until it continues, and its cursor. */
static void stop_here(struct show *show)
{
	sigset_t set;

	draw_frame(show);
	show_cursor(show);
	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* Whatever is on the screen now, it is not ours any more. */
	screen_keep(&show->screen);
	measure(show);
}

/* False: it is over. The work gets the same signals. */
static bool on_signal(struct show *show, int signal_fd)
{
	struct signalfd_siginfo info;

	if (read(signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return true;
	if (info.ssi_signo == SIGWINCH)
		measure(show);
	else if (info.ssi_signo == SIGTSTP)
		stop_here(show);
	else
		return show->patient &&
		       (info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM);
	return true;
}

static int watch_signals(void)
{
	static const int signals[] = {SIGWINCH, SIGTSTP, SIGINT,
				      SIGTERM,	SIGHUP,	 SIGQUIT};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- the process ---- */

/* Milliseconds until something is to be drawn; -1: nothing. */
static int wait_ms(const struct show *show)
{
	int64_t passed = (now_ns() - show->frame_ns) / NS_PER_MS;

	if (!show->drawing)
		return -1;
	if (show->dirty)
		return passed >= FRAME_MS ? 0 : (int)(FRAME_MS - passed);
	return show->view->moving(show->data) ? show->view->tick_ms : -1;
}

/* False: ended by a signal. */
static bool run(struct show *show, int input_fd, int signal_fd)
{
	struct pollfd fds[2] = {
		{.fd = input_fd, .events = POLLIN},
		{.fd = signal_fd, .events = POLLIN},
	};
	char bytes[LINE_SIZE];

	for (;;) {
		int r = poll(fds, 2, wait_ms(show));

		if (r < 0 && errno != EINTR)
			return true;
		if (r > 0 && fds[1].revents && !on_signal(show, signal_fd))
			return false;
		if (r > 0 && fds[0].revents) {
			ssize_t length = read(input_fd, bytes, sizeof(bytes));

			if (length == 0 || (length < 0 && errno != EINTR))
				return true;
			if (length > 0)
				on_bytes(show, bytes, (size_t)length);
		}
		if (r == 0 || wait_ms(show) == 0)
			draw_frame(show);
	}
}

bool progress_can_redraw(int fd)
{
	return isatty(fd) && !str_empty(getenv("TERM")) &&
	       !str_equal(getenv("TERM"), "dumb");
}

static void finish(struct show *show)
{
	cleanup_free char *text = NULL;

	if (show->view->end)
		show->view->end(show->data, now_ns(), &text);
	draw_last(show);
	if (text)
		print_line(show, text);
}

/* 0, or the errno of what could not be written, as the exit status. */
static int child_main(const struct progress_options *options, int input_fd)
{
	struct progress_rows rows = {0};
	struct show show = {
		.fd = options->fd,
		.quiet = options->quiet,
		.drawing = !options->quiet && !options->plain &&
			   progress_can_redraw(options->fd),
		.patient = options->patient,
		.view = options->view ? options->view : &rows_view,
		.data = options->view ? options->data : &rows,
	};
	int signal_fd = watch_signals();

	if (show.drawing)
		measure(&show);
	/* After a signal the terminal is somebody else's already: no frame. */
	if (run(&show, input_fd, signal_fd))
		finish(&show);
	show_cursor(&show);
	return show.fd == STDOUT_FILENO ? -show.failure : 0;
}

void progress_open(const struct progress_options *options,
		   struct progress *ret_progress)
{
	int ends[2];

	*ret_progress = (struct progress){.fd = -1};
	/* Without it the work is the same, only silent. */
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	fflush(NULL);
	ret_progress->pid = fork();
	if (ret_progress->pid == 0) {
		close(ends[1]);
		_exit(child_main(options, ends[0]));
	}
	close(ends[0]);
	if (ret_progress->pid < 0)
		close(ends[1]);
	else
		ret_progress->fd = ends[1];
}

int progress_close(struct progress *progress, int result, struct error *err)
{
	int status;

	if (progress->fd < 0)
		return result;
	close_fd(&progress->fd);
	status = proc_wait(progress->pid);
	/* Ended by a signal: it was told to. */
	if (result < 0 || status <= 0 || status >= SIGNAL_STATUS)
		return result;
	return err_number(err, status, "cannot write to standard output");
}
