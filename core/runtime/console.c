#include "core/runtime/console.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"

#define PTMX_MAJOR 5
#define PTMX_MINOR 2

int console_open(int ptmx_fd, uint16_t rows, uint16_t columns,
		 int *ret_slave_fd, struct error *err)
{
	struct winsize size = {.ws_row = rows, .ws_col = columns};
	int unlock = 0;
	int slave_fd;

	if (ioctl(ptmx_fd, TIOCSPTLCK, &unlock) < 0)
		return err_errno(err, "cannot unlock the terminal");
	slave_fd = ioctl(ptmx_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave_fd < 0)
		return err_errno(err, "cannot open the terminal");
	if ((rows || columns) && ioctl(ptmx_fd, TIOCSWINSZ, &size) < 0) {
		close(slave_fd);
		return err_errno(err, "cannot size the terminal");
	}
	*ret_slave_fd = slave_fd;
	return 0;
}

int console_find_ptmx(int root_fd, struct error *err)
{
	cleanup_fd int fd =
		path_open_in_root(root_fd, "/dev/ptmx", O_RDWR | O_NOCTTY, 0);
	struct statfs fs;
	struct stat st;

	if (fd < 0)
		return err_number(err, fd,
				  "cannot open the container's /dev/ptmx");
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return err_errno(err, "cannot open the container's /dev/ptmx");
	if (!S_ISCHR(st.st_mode) ||
	    st.st_rdev != makedev(PTMX_MAJOR, PTMX_MINOR) ||
	    fs.f_type != DEVPTS_SUPER_MAGIC)
		return err_set(err, ERROR_UNSUPPORTED,
			       "the container's /dev/ptmx is not a terminal "
			       "multiplexer");
	return steal_fd(&fd);
}

int console_adopt(int slave_fd, uint32_t uid, struct error *err)
{
	/* As login(1) does; the group stays devpts's. */
	if (fchown(slave_fd, uid, (gid_t)-1) < 0)
		return err_errno(err, "cannot give the terminal to user %u",
				 uid);
	if (ioctl(slave_fd, TIOCSCTTY, 0) < 0)
		return err_errno(err, "cannot take the terminal");
	return 0;
}
