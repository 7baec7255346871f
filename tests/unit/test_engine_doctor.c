/* core/engine/doctor.h, on made-up machines: nothing is tried. */
#include "core/engine/doctor_private.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"

#define USER "alice"
#define UID  1000u

/* A file of a made-up machine; "" with a slash at the end: a directory. */
struct made {
	const char *path;
	const char *text;
	mode_t mode; /* 0: 0644 or 0755 */
};
#define FILES_MAX 8

struct sample {
	const char *check;
	struct made files[FILES_MAX];
	enum doctor_state state;
	const char *text; /* part of it */
	const char *fix;  /* part of it; NULL: none */
};

static const char apparmor[] =
	"/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
#define CGROUP "/sys/fs/cgroup/user.slice/user-1000.slice/"
/* cgroup v2, and one that is the user's own. */
#define MOUNTED(controllers)                                          \
	{"/proc/self/mountinfo",                                      \
	 "29 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", 0}, \
	{                                                             \
		"/sys/fs/cgroup/cgroup.controllers", controllers, 0   \
	}
#define OWN(path, controllers)                          \
	{path "cgroup.controllers", controllers, 0},    \
		{path "cgroup.subtree_control", "", 0}, \
	{                                               \
		path "cgroup.procs", "", 0              \
	}
#define MOUNTS_NFS                               \
	"22 1 254:0 / / rw - ext4 /dev/vda rw\n" \
	"23 22 0:5 / /home/alice rw,nosuid shared:9 master:2 - nfs4 s:/h rw\n"
#define MOUNTS_NEAR                              \
	"22 1 254:0 / / rw - ext4 /dev/vda rw\n" \
	"24 22 0:6 / /home/alic rw - nfs4 s:/h rw\n"

static const struct sample samples[] = {
	{"kernel",
	 {{"/proc/sys/kernel/osrelease", "6.1.0-13-amd64\n", 0}},
	 DOCTOR_OK,
	 "Linux 6.1.0-13-amd64",
	 NULL},
	{"kernel",
	 {{"/proc/sys/kernel/osrelease", "5.12.0\n", 0}},
	 DOCTOR_OK,
	 "5.12",
	 NULL},
	{"kernel",
	 {{"/proc/sys/kernel/osrelease", "5.11.22\n", 0}},
	 DOCTOR_BROKEN,
	 "too old",
	 "newer kernel"},
	{"kernel",
	 {{"/proc/sys/kernel/osrelease", "4.18.0-553.el8\n", 0}},
	 DOCTOR_BROKEN,
	 "too old",
	 "newer kernel"},
	{"kernel", {{0}}, DOCTOR_BROKEN, "cannot be read", "mount"},

	{"user-namespaces",
	 {{0}},
	 DOCTOR_BROKEN,
	 "has no user namespaces",
	 "CONFIG_USER_NS"},
	{"user-namespaces",
	 {{"/proc/self/ns/user", "", 0}},
	 DOCTOR_OK,
	 "",
	 NULL},
	{"user-namespaces",
	 {{"/proc/self/ns/user", "", 0},
	  {"/proc/sys/user/max_user_namespaces", "0\n", 0}},
	 DOCTOR_BROKEN,
	 "user.max_user_namespaces is 0",
	 "user.max_user_namespaces = 15000"},
	{"user-namespaces",
	 {{"/proc/self/ns/user", "", 0},
	  {"/proc/sys/user/max_user_namespaces", "31000\n", 0},
	  {"/proc/sys/kernel/unprivileged_userns_clone", "0\n", 0}},
	 DOCTOR_BROKEN,
	 "kernel.unprivileged_userns_clone is 0",
	 "kernel.unprivileged_userns_clone = 1"},

	{"apparmor", {{0}}, DOCTOR_OK, "does not restrict", NULL},
	{"apparmor",
	 {{apparmor, "0\n", 0}},
	 DOCTOR_OK,
	 "does not restrict",
	 NULL},
	{"apparmor",
	 {{apparmor, "1\n", 0},
	  {"/proc/self/attr/apparmor/current", "unconfined\n", 0}},
	 DOCTOR_BROKEN,
	 "no profile allows /opt/m{oss}/moss",
	 "write /etc/apparmor.d/moss:\n"
	 "    abi <abi/4.0>,\n"
	 "    include <tunables/global>\n"
	 "    profile moss \"/opt/m\\{oss\\}/moss\" flags=(unconfined) {\n"
	 "        userns,\n"
	 "        include if exists <local/moss>\n"
	 "    }\n"
	 "sudo apparmor_parser -r /etc/apparmor.d/moss"},
	{"apparmor",
	 {{apparmor, "1\n", 0},
	  {"/proc/self/attr/current", "moss (unconfined)\n", 0}},
	 DOCTOR_OK,
	 "as moss (unconfined)",
	 NULL},
	{"apparmor",
	 {{apparmor, "1\n", 0},
	  {"/proc/self/attr/apparmor/current",
	   "unprivileged_userns (enforce)\n", 0}},
	 DOCTOR_BROKEN,
	 "no profile",
	 "userns,"},

	{"nested", {{0}}, DOCTOR_OK, "no container", NULL},
	{"nested", {{"/.dockerenv", "", 0}}, DOCTOR_OK, "docker", NULL},
	{"nested",
	 {{"/run/systemd/container", "systemd-nspawn\n", 0}},
	 DOCTOR_OK,
	 "systemd-nspawn",
	 NULL},

	{"sub-uids",
	 {{0}},
	 DOCTOR_DEGRADED,
	 "no subordinate user IDs",
	 "sudo usermod --add-subuids 100000-165535 alice"},
	{"sub-uids",
	 {{"/etc/subuid", "bob:100000:65536\n", 0}},
	 DOCTOR_DEGRADED,
	 "alice has no",
	 "sudo usermod --add-subuids 165536-231071 alice"},
	{"sub-uids",
	 {{"/etc/subuid", "alice:100000:65536\n", 0}},
	 DOCTOR_OK,
	 "65536, from 100000",
	 NULL},
	{"sub-uids",
	 {{"/etc/subuid", "#\nx\n1000:100000:65536\n", 0}},
	 DOCTOR_OK,
	 "65536",
	 NULL},
	{"sub-uids",
	 {{"/etc/subuid", "alice:100000:1000\nalice:200000:64536\n", 0}},
	 DOCTOR_OK,
	 "65536",
	 NULL},
	{"sub-uids",
	 {{"/etc/subuid", "alice:100000:65535\n", 0}},
	 DOCTOR_DEGRADED,
	 "too few",
	 "--add-subuids 165535-231070 alice"},
	{"sub-uids",
	 {{"/etc/subuid", "bob:165535:65536\nalice:100000:65536\n", 0}},
	 DOCTOR_DEGRADED,
	 "overlaps with bob's 165535-231070",
	 "sudo usermod --del-subuids 100000-165535 alice\n"
	 "sudo usermod --add-subuids 231071-296606 alice"},
	{"sub-uids",
	 {{"/etc/subuid", "bob:165536:65536\nalice:100000:65536\n", 0}},
	 DOCTOR_OK,
	 "65536",
	 NULL},
	{"sub-uids",
	 {{"/etc/subuid", "alice:99999999999:65536\n", 0}},
	 DOCTOR_DEGRADED,
	 "has no subordinate",
	 "100000-165535"},
	{"sub-gids",
	 {{"/etc/subuid", "alice:100000:65536\n", 0}},
	 DOCTOR_DEGRADED,
	 "no subordinate group IDs in /etc/subgid",
	 "--add-subgids 100000-165535 alice"},
	{"sub-gids",
	 {{"/etc/subgid", "alice:100000:65536\n", 0}},
	 DOCTOR_OK,
	 "65536",
	 NULL},

	{"newuidmap", {{0}}, DOCTOR_DEGRADED, "not installed", "uidmap"},
	{"newuidmap",
	 {{"/usr/bin/newuidmap", "x", 0755}},
	 DOCTOR_DEGRADED,
	 "neither the set-user-ID bit nor CAP_SETUID",
	 "chmod u+s"},
	{"newuidmap",
	 {{"/usr/bin/newuidmap", "x", 04755}},
	 DOCTOR_OK,
	 "/usr/bin/newuidmap",
	 NULL},
	{"newuidmap",
	 {{"/opt/bin/newuidmap", "x", 04755}},
	 DOCTOR_OK,
	 "/opt/bin/newuidmap",
	 NULL},
	{"newuidmap",
	 {{"/usr/bin/newgidmap", "x", 04755}},
	 DOCTOR_DEGRADED,
	 "not installed",
	 "uidmap"},
	{"newgidmap",
	 {{"/usr/bin/newgidmap", "x", 0755}},
	 DOCTOR_DEGRADED,
	 "CAP_SETGID",
	 "chmod u+s"},
	{"newgidmap",
	 {{"/usr/bin/newgidmap", "x", 04755}},
	 DOCTOR_OK,
	 "/usr/bin/newgidmap",
	 NULL},

	{"fuse",
	 {{0}},
	 DOCTOR_DEGRADED,
	 "/dev/fuse: No such file",
	 "modprobe fuse"},
	{"fuse", {{"/dev/fuse", "", 0}}, DOCTOR_OK, "can be opened", NULL},
	{"fuse",
	 {{"/dev/fuse/", NULL, 0}},
	 DOCTOR_DEGRADED,
	 "cannot open",
	 "modprobe fuse"},
	{"fuse-overlayfs",
	 {{0}},
	 DOCTOR_DEGRADED,
	 "not installed",
	 "apt install fuse-overlayfs"},
	{"fuse-overlayfs",
	 {{"/usr/bin/fuse-overlayfs", "x", 0755}},
	 DOCTOR_OK,
	 "/usr/bin/fuse-overlayfs",
	 NULL},

	{"file-system",
	 {{"/home/alice/", NULL, 0}, {"/proc/self/mountinfo", MOUNTS_NFS, 0}},
	 DOCTOR_DEGRADED,
	 "is on nfs4",
	 "MOSS_ROOT="},
	{"file-system",
	 {{"/home/alice/", NULL, 0}, {"/proc/self/mountinfo", MOUNTS_NEAR, 0}},
	 DOCTOR_OK,
	 "is on ext4",
	 NULL},
	{"file-system", {{"/home/", NULL, 0}}, DOCTOR_OK, "unknown type", NULL},

	{"tun",
	 {{0}},
	 DOCTOR_BROKEN,
	 "/dev/net/tun: No such file",
	 "modprobe tun"},
	{"tun", {{"/dev/net/tun", "", 0}}, DOCTOR_OK, "can be opened", NULL},

	{"ping",
	 {{0}},
	 DOCTOR_DEGRADED,
	 "has not your group 1000",
	 "net.ipv4.ping_group_range = 0 2147483647"},
	{"ping",
	 {{"/proc/sys/net/ipv4/ping_group_range", "1\t0\n", 0}},
	 DOCTOR_DEGRADED,
	 "has not",
	 "0 2147483647"},
	{"ping",
	 {{"/proc/sys/net/ipv4/ping_group_range", "0\t999\n", 0}},
	 DOCTOR_DEGRADED,
	 "has not",
	 "0 2147483647"},
	{"ping",
	 {{"/proc/sys/net/ipv4/ping_group_range", "0\t1000\n", 0}},
	 DOCTOR_OK,
	 "has your group",
	 NULL},

	{"ports",
	 {{0}},
	 DOCTOR_DEGRADED,
	 "below 1024",
	 "net.ipv4.ip_unprivileged_port_start = 80"},
	{"ports",
	 {{"/proc/sys/net/ipv4/ip_unprivileged_port_start", "81\n", 0}},
	 DOCTOR_DEGRADED,
	 "below 81",
	 "= 80"},
	{"ports",
	 {{"/proc/sys/net/ipv4/ip_unprivileged_port_start", "80\n", 0}},
	 DOCTOR_OK,
	 "from 80 on",
	 NULL},

	{"cgroup",
	 {{0}},
	 DOCTOR_DEGRADED,
	 "no controllers",
	 "systemd.unified_cgroup_hierarchy=1"},
	{"cgroup",
	 {{"/proc/self/cgroup", "0::/user.slice/user-1000.slice/s.scope\n", 0},
	  MOUNTED("cpu io memory pids\n"),
	  {"/run/systemd/system/", NULL, 0}},
	 DOCTOR_DEGRADED,
	 "no service manager of yours runs",
	 "sudo loginctl enable-linger alice"},
	{"cgroup",
	 {{"/proc/self/cgroup", "0::/user.slice/user-1000.slice/s\n", 0},
	  MOUNTED("cpu io memory pids\n"),
	  OWN(CGROUP "s/", "memory pids\n")},
	 DOCTOR_DEGRADED,
	 "not delegated to you: cpu; only memory, pids",
	 "mkdir -p moss-alice"},
	{"cgroup",
	 {{"/proc/self/cgroup", "1:cpu:/\n0::/user.slice/user-1000.slice/s\n",
	   0},
	  MOUNTED("cpu memory pids\n"),
	  OWN(CGROUP "s/", "cpu memory pids\n")},
	 DOCTOR_OK,
	 "delegated to you: cpu, memory, pids (not cpuset, io)",
	 NULL},

	{"linger", {{0}}, DOCTOR_OK, "no systemd", NULL},
	{"linger",
	 {{"/run/systemd/system/", NULL, 0}},
	 DOCTOR_DEGRADED,
	 "does not linger",
	 "sudo loginctl enable-linger alice"},
	{"linger",
	 {{"/run/systemd/system/", NULL, 0},
	  {"/var/lib/systemd/linger/alice", "", 0}},
	 DOCTOR_OK,
	 "lingers",
	 NULL},
	{"linger",
	 {{"/run/systemd/system/", NULL, 0},
	  {"/etc/systemd/logind.conf", "[Login]\nKillUserProcesses = yes \n",
	   0}},
	 DOCTOR_DEGRADED,
	 "ends alice's containers at logout",
	 "KillExcludeUsers=root alice\\n"},
	{"linger",
	 {{"/run/systemd/system/", NULL, 0},
	  {"/usr/lib/systemd/logind.conf", "KillUserProcesses=yes\n", 0},
	  {"/etc/systemd/logind.conf", "#KillUserProcesses=yes\n", 0}},
	 DOCTOR_DEGRADED,
	 "go on after logout",
	 "enable-linger"},
	{"linger",
	 {{"/run/systemd/system/", NULL, 0},
	  {"/etc/systemd/logind.conf.d/20.conf", "KillUserProcesses=on\n", 0},
	  {"/usr/lib/systemd/logind.conf.d/10.conf", "KillUserProcesses=no\n",
	   0}},
	 DOCTOR_DEGRADED,
	 "at logout (KillUserProcesses=yes)",
	 "restart systemd-logind"},
	{"linger",
	 {{"/run/systemd/system/", NULL, 0},
	  {"/etc/systemd/logind.conf.d/10.conf", "KillUserProcesses=no\n", 0},
	  {"/usr/lib/systemd/logind.conf.d/10.conf", "KillUserProcesses=yes\n",
	   0},
	  {"/var/lib/systemd/linger/alice", "", 0}},
	 DOCTOR_OK,
	 "lingers",
	 NULL},
	{"linger",
	 {{"/run/systemd/system/", NULL, 0},
	  {"/etc/systemd/logind.conf",
	   "KillUserProcesses=yes\nKillExcludeUsers=root alice\n", 0},
	  {"/var/lib/systemd/linger/alice", "", 0}},
	 DOCTOR_OK,
	 "lingers",
	 NULL},
	{"linger",
	 {{"/run/systemd/system/", NULL, 0},
	  {"/etc/systemd/logind.conf",
	   "KillUserProcesses=yes\nKillOnlyUsers=bob\n", 0},
	  {"/var/lib/systemd/linger/alice", "", 0}},
	 DOCTOR_OK,
	 "lingers",
	 NULL},

	{"runtime-directory",
	 {{0}},
	 DOCTOR_DEGRADED,
	 "/tmp/moss-1000",
	 "install -d -m 700 -o alice /run/user/1000"},
	{"runtime-directory",
	 {{"/run/user/1000/", NULL, 0700}},
	 DOCTOR_OK,
	 "/run/user/1000",
	 NULL},

	{"seccomp",
	 {{0}},
	 DOCTOR_BROKEN,
	 "no seccomp filters",
	 "seccomp=unconfined"},
	{"seccomp",
	 {{"/proc/sys/kernel/seccomp/actions_avail", "kill errno allow\n", 0}},
	 DOCTOR_OK,
	 "errno",
	 NULL},

	{"landlock",
	 {{"/sys/kernel/security/lsm", "capability,yama\n", 0}},
	 DOCTOR_DEGRADED,
	 "Landlock is not there",
	 "lsm=landlock,capability,yama"},
	{"landlock",
	 {{0}},
	 DOCTOR_DEGRADED,
	 "Landlock is not there",
	 "CONFIG_SECURITY_LANDLOCK"},
};

static void make(const char *root, const struct made *made)
{
	cleanup_free char *path = xasprintf("%s%s", root, made->path);
	cleanup_free char *parent = xstrdup(path);
	char *slash = strrchr(parent, '/');
	bool directory = slash[1] == '\0';
	int fd;

	*slash = '\0';
	if (directory) {
		assert_int_equal(path_mkdirs(parent, 0755, NULL), 0);
		return;
	}
	assert_int_equal(path_mkdirs(parent, 0755, NULL), 0);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, made->text, strlen(made->text)), 0);
	if (made->mode)
		assert_int_equal(fchmod(fd, made->mode), 0);
	close_fd(&fd);
}

static struct doctor machine(const char *root)
{
	return (struct doctor){
		.root = root,
		.uid = UID,
		.gid = UID,
		.owner = getuid(),
		.user = USER,
		.data_path = "/home/alice/.local/share/moss",
		.program = "/opt/m{oss}/moss",
		.search = "relative:/opt/bin",
	};
}

static const struct doctor_check *check_named(const char *name)
{
	for (size_t i = 0; doctor_checks[i].name; i++)
		if (str_equal(doctor_checks[i].name, name))
			return &doctor_checks[i];
	fail_msg("no check %s", name);
	return NULL;
}

static void expect(const struct doctor *doctor, const struct sample *sample)
{
	CLEANUP(doctor_finding_release) struct doctor_finding finding = {0};

	assert_true(doctor_run(doctor, check_named(sample->check), &finding));
	if (finding.state != sample->state ||
	    !strstr(finding.text, sample->text) ||
	    !finding.fix != !sample->fix ||
	    (sample->fix && !strstr(finding.fix, sample->fix)))
		fail_msg("%s (%s): %s: %s\n%s", sample->check, sample->text,
			 doctor_state_name(finding.state), finding.text,
			 finding.fix ? finding.fix : "");
	/* What is wrong can be mended, and only that. */
	assert_int_equal(finding.state == DOCTOR_OK, finding.fix == NULL);
}

static void test_machines(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		char root[] = "/tmp/moss-doctor-XXXXXX";
		struct doctor doctor;

		assert_non_null(mkdtemp(root));
		for (size_t j = 0; j < FILES_MAX && samples[i].files[j].path;
		     j++)
			make(root, &samples[i].files[j]);
		doctor = machine(root);
		expect(&doctor, &samples[i]);
		assert_int_equal(tree_remove_at(AT_FDCWD, root, NULL), 0);
	}
}

/* What does not come from files. */
static void test_caller(void **state)
{
	char root[] = "/tmp/moss-doctor-XXXXXX";
	const struct made tool = {"/usr/bin/newuidmap", "x", 04755};
	const struct made run = {"/run/mine/", NULL, 0};
	struct doctor doctor;

	assert_non_null(mkdtemp(root));
	make(root, &tool);
	make(root, &run);

	doctor = machine(root);
	expect(&doctor, &(struct sample){.check = "user",
					 .state = DOCTOR_OK,
					 .text = "alice (1000:1000)"});
	doctor.landlock_abi = 3;
	expect(&doctor, &(struct sample){.check = "landlock",
					 .state = DOCTOR_OK,
					 .text = "ABI 3"});
	doctor.no_new_privs = true;
	expect(&doctor, &(struct sample){.check = "newuidmap",
					 .state = DOCTOR_DEGRADED,
					 .text = "no_new_privs",
					 .fix = "outside of what set"});
	doctor.no_new_privs = false;
	doctor.owner = getuid() + 1;
	expect(&doctor, &(struct sample){.check = "newuidmap",
					 .state = DOCTOR_DEGRADED,
					 .text = "neither",
					 .fix = "chown root:root"});
	doctor.run_path = "/somewhere";
	expect(&doctor, &(struct sample){.check = "runtime-directory",
					 .state = DOCTOR_OK,
					 .text = "MOSS_RUN=/somewhere"});
	doctor.run_path = NULL;
	doctor.xdg_run = "/run/none";
	expect(&doctor, &(struct sample){.check = "runtime-directory",
					 .state = DOCTOR_DEGRADED,
					 .text = "which is no directory",
					 .fix = "unset XDG_RUNTIME_DIR"});
	doctor.xdg_run = "/run/mine";
	doctor.uid = getuid() + 1;
	expect(&doctor, &(struct sample){.check = "runtime-directory",
					 .state = DOCTOR_DEGRADED,
					 .text = "which belongs to user",
					 .fix = "machinectl shell alice@"});
	doctor.uid = getuid();
	expect(&doctor, &(struct sample){.check = "runtime-directory",
					 .state = DOCTOR_OK,
					 .text = "XDG_RUNTIME_DIR=/run/mine"});
	assert_int_equal(tree_remove_at(AT_FDCWD, root, NULL), 0);
}

static void test_root(void **state)
{
	struct doctor doctor = machine("/nonexistent");
	struct doctor_finding finding;

	doctor.initial_root = true;
	expect(&doctor, &(struct sample){.check = "user",
					 .state = DOCTOR_BROKEN,
					 .text = "never as root",
					 .fix = "su - USER"});
	assert_false(doctor_run(&doctor, check_named("sub-uids"), &finding));
}

static void test_capabilities(void **state)
{
	struct vfs_cap_data value = {
		.magic_etc =
			htole32(VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE),
		.data[0].permitted = htole32(1u << CAP_SETUID),
	};

	assert_true(
		doctor_has_file_capability(&value, sizeof(value), CAP_SETUID));
	assert_false(
		doctor_has_file_capability(&value, sizeof(value), CAP_SETGID));
	assert_false(doctor_has_file_capability(&value, 3, CAP_SETUID));
	assert_false(doctor_has_file_capability(&value, sizeof(value) + 5,
						CAP_SETUID));
	value.magic_etc = htole32(0x7f000000);
	assert_false(
		doctor_has_file_capability(&value, sizeof(value), CAP_SETUID));
}

static void test_space(void **state)
{
	static const struct {
		uint64_t bytes, files, inodes;
		enum doctor_state state;
		const char *text;
	} disks[] = {
		{UINT64_C(5) << 30, 1000000, 900000, DOCTOR_OK, "inodes free"},
		{UINT64_C(5) << 30, 0, 0, DOCTOR_OK, "GB free for /store"},
		{UINT64_C(1) << 29, 1000000, 900000, DOCTOR_DEGRADED, "MB"},
		{UINT64_C(1) << 25, 1000000, 900000, DOCTOR_BROKEN, "MB"},
		{UINT64_C(5) << 30, 1000000, 5000, DOCTOR_DEGRADED, "5000"},
		{UINT64_C(5) << 30, 1000000, 10, DOCTOR_BROKEN, "10 inodes"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(disks); i++) {
		CLEANUP(doctor_finding_release)
		struct doctor_finding finding = {0};
		const struct statvfs space = {
			.f_frsize = 4096,
			.f_bavail = disks[i].bytes / 4096,
			.f_files = disks[i].files,
			.f_favail = disks[i].inodes,
		};

		doctor_judge_space(&space, "/store", &finding);
		assert_int_equal(finding.state, disks[i].state);
		assert_non_null(strstr(finding.text, disks[i].text));
		assert_int_equal(finding.state == DOCTOR_OK,
				 finding.fix == NULL);
	}
}

static void test_json(void **state)
{
	const struct doctor_check check = {.name = "thing"};
	char text[] = "is so";
	char fix[] = "do this";
	struct doctor_finding finding = {DOCTOR_DEGRADED, text, fix};
	cleanup_json cJSON *json = doctor_finding_json(&check, &finding);
	cleanup_free char *printed = json_print(json);

	assert_string_equal(printed,
			    "{\"Name\":\"thing\",\"State\":\"degraded\","
			    "\"Message\":\"is so\",\"Fix\":\"do this\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_machines),
		cmocka_unit_test(test_caller),
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_space),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
