#include "core/runtime/keyring.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ID_COUNT 65536 /* as far as a namespace of ours is mapped */
#define ATTEMPTS 64

static int join_new(void)
{
	return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) <
			       0
		       ? -errno
		       : 0;
}

/*
 * As some other user than 0 of our namespace. Any will do, and one after
 * another would have them all meet at the first whose quota is full.
 */
static int join_as_other(void)
{
	uint32_t range = ID_COUNT - 1;
	uid_t own = getuid();
	int r = -EDQUOT;

	for (int i = 0; i < ATTEMPTS && range > 0 && r == -EDQUOT; i++) {
		uint32_t number = 0;

		if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
			number = (uint32_t)getpid() + (uint32_t)i;
		/* Only the real one: rights and files are the effective one's.
		 */
		if (setresuid(1 + number % range, (uid_t)-1, (uid_t)-1) < 0) {
			range /= 2; /* fewer IDs are mapped, or none */
			continue;
		}
		r = join_new();
		if (setresuid(own, (uid_t)-1, (uid_t)-1) < 0)
			return -errno;
	}
	return r;
}

int keyring_renew(struct error *err)
{
	int r = geteuid() == 0 ? join_as_other() : -EDQUOT;

	if (r == -EDQUOT)
		r = join_new();
	if (r >= 0 || r == -ENOSYS || r == -EPERM)
		return 0;
	err_number(err, r,
		   "cannot make a session keyring for the container, which "
		   "would get the caller's");
	if (r == -EDQUOT)
		return err_hint(err,
				"you have as many keys as one user may have "
				"(/proc/key-users; sysctl kernel.keys.maxkeys, "
				"kernel.keys.maxbytes): subordinate IDs in "
				"/etc/subuid bring quotas of their own");
	return r;
}
