/* policy/idmap.h */
#include "policy/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

static void assert_map(const struct id_map *map, const char *text)
{
	cleanup_free char *is = idmap_text(map);

	assert_string_equal(is, text);
}

static void test_parse_subids(void **state)
{
	static const struct {
		const char *text;
		const char *map;
	} rows[] = {
		{"", ""},
		{"u:100000:65536\n", "1 100000 65536\n"},
		{"u:100000:65536", "1 100000 65536\n"},
		{"u:100000:65536  \r\n", "1 100000 65536\n"},
		{"1500:100000:65536\n", "1 100000 65536\n"},
		{"other:1:9\nu:5000:10\n1500:7000:10\n",
		 "1 5000 10\n11 7000 10\n"},
		{"# u:100000:1\n\nu:200000:1\n", "1 200000 1\n"},
		/* Nonsense. */
		{"u\nu:\nu:1\nu::\nu:1:\nu::1\nu:a:1\nu:1:b\nu:-1:5\n", ""},
		{"u:1:1:1\n", ""},
		{" u:100:1\nu :100:1\nu: 100:1\n", ""},
		{"uu:100:1\nroot:100:1\n15000:100:1\n", ""},
		/* The host's root, and what is no ID. */
		{"u:0:65536\n", ""},
		{"u:4294967295:1\nu:4294967294:2\nu:1:4294967295\n", ""},
		{"u:4294967294:1\n", "1 4294967294 1\n"},
		{"u:99999999999:1\nu:1:99999999999\n", ""},
		{"u:18446744073709551616:1\n", ""},
		{"u:100:0\n", ""},
		/* The same twice, or nearly. */
		{"u:100:10\nu:100:10\nu:105:10\nu:95:6\nu:110:5\nu:95:5\n",
		 "1 100 10\n11 110 5\n16 95 5\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct id_map map;

		idmap_parse_subids(rows[i].text, strlen(rows[i].text), "u",
				   1500, &map);
		assert_map(&map, rows[i].map);
	}
}

static void test_parse_subids_limits(void **state)
{
	cleanup_str struct str text = {0};
	struct id_map map;

	/* A NUL inside, a line without end. */
	idmap_parse_subids("u\0:1:1\nu:100:\0001\n", 17, "u", 1500, &map);
	assert_int_equal(map.count, 0);
	str_append(&text, "u:");
	for (int i = 0; i < 2000; i++)
		str_append(&text, "0");
	str_append(&text, "7:1\nu:9:1\n");
	idmap_parse_subids(text.data, text.length, "u", 1500, &map);
	assert_map(&map, "1 9 1\n");

	str_clear(&text);
	for (int i = 1; i < 5000; i++)
		str_appendf(&text, "u:%d:5\n", i * 10);
	idmap_parse_subids(text.data, text.length, "u", 1500, &map);
	assert_int_equal(map.count, ID_MAP_MAX - 1);
	assert_int_equal(idmap_size(&map), 5 * (ID_MAP_MAX - 1));
}

static void test_read_subids(void **state)
{
	char path[] = "/tmp/test_policy_idmap.XXXXXX";
	cleanup_fd int fd = mkostemp(path, O_CLOEXEC);
	struct error err = {0};
	struct id_map map = {.count = 5};

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, "u:7:3\n", 6), 0);
	assert_int_equal(idmap_read_subids(path, "u", 1, &map, &err), 0);
	assert_map(&map, "1 7 3\n");
	unlink(path);
	assert_int_equal(idmap_read_subids(path, "u", 1, &map, &err), 0);
	assert_int_equal(map.count, 0);
	assert_true(idmap_read_subids("/proc", "u", 1, &map, &err) < 0);
	assert_true(ftruncate(fd, SUBID_FILE_MAX + 1) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(idmap_read_subids(path, "u", 1, &map, &err), -EINVAL);
}

static void test_build_pinned(void **state)
{
	static const struct {
		uint32_t own;
		const char *subids;
		const char *map;
	} rows[] = {
		{1500, "", "0 1500 1\n"},
		{1500, "u:100000:65536\n", "0 1500 1\n1 100000 65536\n"},
		{1500, "u:10:3\nu:20:4\n", "0 1500 1\n1 10 3\n4 20 4\n"},
		/* The user's own ID in the middle, at the ends, alone. */
		{1500, "u:1000:1000\n", "0 1500 1\n1 1000 500\n501 1501 499\n"},
		{1500, "u:1500:10\n", "0 1500 1\n1 1501 9\n"},
		{1500, "u:1491:10\n", "0 1500 1\n1 1491 9\n"},
		{1500, "u:1500:1\nu:7:2\n", "0 1500 1\n1 7 2\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct id_map subids;
		struct id_map map;

		idmap_parse_subids(rows[i].subids, strlen(rows[i].subids), "u",
				   1, &subids);
		idmap_build_pinned(rows[i].own, &subids, &map);
		assert_map(&map, rows[i].map);
	}
}

static void test_build_pinned_fits(void **state)
{
	cleanup_free char *text = NULL;
	struct id_map subids = {.count = 0};
	struct id_map map;

	for (uint32_t i = 0; i < ID_MAP_MAX - 1; i++)
		subids.extents[subids.count++] = (struct id_extent){
			.outside = 4000000000u + i * 10, .count = 5};
	idmap_build_pinned(1500, &subids, &map);
	text = idmap_text(&map);
	/* One write(2) to uid_map takes less than a page. */
	assert_in_range(strlen(text), 3000, 4095 - 4 * 33);
}

static void test_parse_map(void **state)
{
	static const struct {
		const char *text;
		const char *map; /* NULL: refused */
	} rows[] = {
		{"         0       1500          1\n"
		 "         1     100000      65536\n",
		 "0 1500 1\n1 100000 65536\n"},
		{"0 0 4294967295\n", "0 0 4294967295\n"},
		{"", NULL},
		{"\n", NULL},
		{"0 0\n", NULL},
		{"0 0 1 x\n", NULL},
		{"0 0 0\n", NULL},
		{"5 0 4294967295\n", NULL},
		{"0 0 4294967296\n", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct id_map map = {.count = 3};
		int r = idmap_parse(rows[i].text, &map);

		assert_int_equal(r, rows[i].map ? 0 : -EBADMSG);
		if (rows[i].map)
			assert_map(&map, rows[i].map);
		else
			assert_int_equal(map.count, 3);
	}
}

static void test_look_up(void **state)
{
	struct id_map map;
	uint32_t id = 42;

	assert_int_equal(idmap_parse("0 1500 1\n1 100000 10\n", &map), 0);
	assert_int_equal(idmap_size(&map), 11);
	assert_int_equal(idmap_to_outside(&map, 0, &id), 0);
	assert_int_equal(id, 1500);
	assert_int_equal(idmap_to_outside(&map, 10, &id), 0);
	assert_int_equal(id, 100009);
	assert_int_equal(idmap_to_outside(&map, 11, &id), -ERANGE);
	assert_int_equal(idmap_to_inside(&map, 100000, &id), 0);
	assert_int_equal(id, 1);
	assert_int_equal(idmap_to_inside(&map, 1501, &id), -ERANGE);
	assert_int_equal(idmap_to_inside(&map, 100010, &id), -ERANGE);
	assert_int_equal(id, 1);
}

static struct identity identity_with(const char *uids, const char *gids)
{
	struct identity identity = {.uid = 1500, .gid = 1600, .user = "u"};

	assert_int_equal(idmap_parse(uids, &identity.uids), 0);
	assert_int_equal(idmap_parse(gids, &identity.gids), 0);
	identity.mapped = idmap_size(&identity.uids) > 1;
	return identity;
}

#define MAPPED_UIDS "0 1500 1\n1 100000 65536\n"
#define MAPPED_GIDS "0 1600 1\n1 200000 65536\n"

static void test_modes(void **state)
{
	static const struct {
		const char *mode;
		const char *uids;
		const char *gids;
		bool shifted;
	} rows[] = {
		{"", "0 0 1\n1 1 65536\n", "0 0 1\n1 1 65535\n", false},
		{"host", "0 0 1\n1 1 65536\n", "0 0 1\n1 1 65535\n", false},
		{"nomap", "0 1 65536\n", "0 1 65536\n", true},
		{"keep-id", "0 1 1500\n1500 0 1\n1501 1501 64036\n",
		 "0 1 1600\n1600 0 1\n1601 1601 63935\n", true},
		{"keep-id:uid=0,gid=0", "0 0 1\n1 1 65536\n",
		 "0 0 1\n1 1 65535\n", false},
		{"keep-id:uid=33", "0 1 33\n33 0 1\n34 34 65503\n",
		 "0 1 1600\n1600 0 1\n1601 1601 63935\n", true},
		{"keep-id:gid=2,uid=1", "0 1 1\n1 0 1\n2 2 65535\n",
		 "0 1 2\n2 0 1\n3 3 65533\n", true},
		{"keep-id:uid=4294967294,gid=65536",
		 "0 1 65536\n4294967294 0 1\n", "0 1 65535\n65536 0 1\n", true},
		{"auto", "0 64513 1024\n", "0 64513 1024\n", true},
		{"auto:size=1", "0 65536 1\n", "0 65536 1\n", true},
		{"auto:size=65536", "0 1 65536\n", "0 1 65536\n", true},
	};
	struct identity identity = identity_with(MAPPED_UIDS, MAPPED_GIDS);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct userns_mode_request request = {.text = rows[i].mode,
						      .identity = &identity};
		struct id_map uids;
		struct id_map gids;
		struct error err = {0};
		bool shifted = !rows[i].shifted;

		if (userns_mode_resolve(&request, &uids, &gids, &shifted,
					&err) < 0)
			fail_msg("%s: %s", rows[i].mode, err.message);
		assert_map(&uids, rows[i].uids);
		assert_map(&gids, rows[i].gids);
		assert_int_equal(shifted, rows[i].shifted);
	}
}

static void test_modes_split(void **state)
{
	/* The kernel refuses an extent that lies in two of its parent's. */
	struct identity identity = identity_with("0 1500 1\n1 100 10\n11 200 5",
						 "0 1600 1\n1 100 15\n");
	struct userns_mode_request request = {.text = "nomap",
					      .identity = &identity};
	struct id_map uids;
	struct id_map gids;
	bool shifted;

	assert_int_equal(
		userns_mode_resolve(&request, &uids, &gids, &shifted, NULL), 0);
	assert_map(&uids, "0 1 10\n10 11 5\n");
	assert_map(&gids, "0 1 15\n");
	request.text = "auto:size=8";
	assert_int_equal(
		userns_mode_resolve(&request, &uids, &gids, &shifted, NULL), 0);
	assert_map(&uids, "0 8 3\n3 11 5\n");
	assert_map(&gids, "0 8 8\n");
}

static void test_modes_single(void **state)
{
	static const struct {
		const char *mode;
		const char *uids; /* NULL: refused */
		bool shifted;
	} rows[] = {
		{"", "0 0 1\n", false},
		{"keep-id", "1500 0 1\n", true},
		{"keep-id:uid=0,gid=0", "0 0 1\n", false},
		{"nomap", NULL, false},
		{"auto", NULL, false},
	};
	struct identity identity = identity_with("0 1500 1\n", "0 1600 1\n");

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct userns_mode_request request = {.text = rows[i].mode,
						      .identity = &identity};
		struct id_map uids;
		struct id_map gids;
		struct error err = {0};
		bool shifted = false;
		int r = userns_mode_resolve(&request, &uids, &gids, &shifted,
					    &err);

		if (!rows[i].uids) {
			assert_int_equal(r, -EOPNOTSUPP);
			assert_non_null(strstr(err.message, "--userns="));
			assert_true(err.hint[0] != '\0');
			continue;
		}
		assert_int_equal(r, 0);
		assert_map(&uids, rows[i].uids);
		assert_int_equal(shifted, rows[i].shifted);
	}
}

static void test_auto_disjoint(void **state)
{
	struct identity identity = identity_with(MAPPED_UIDS, MAPPED_GIDS);
	struct id_extent taken[65];
	struct userns_mode_request request = {
		.text = "auto", .identity = &identity, .taken = taken};
	struct error err = {0};
	struct id_map uids;
	struct id_map gids;
	bool shifted;

	/* 65536 sub-IDs are 64 times the default, each range its own. */
	for (; request.taken_count < 64; request.taken_count++) {
		assert_int_equal(userns_mode_resolve(&request, &uids, &gids,
						     &shifted, &err),
				 0);
		for (size_t i = 0; i < request.taken_count; i++)
			assert_true(uids.extents[0].outside + 1024 <=
					    taken[i].outside ||
				    taken[i].outside + 1024 <=
					    uids.extents[0].outside);
		taken[request.taken_count] = uids.extents[0];
	}
	assert_int_equal(
		userns_mode_resolve(&request, &uids, &gids, &shifted, &err),
		-ENOSPC);
	assert_string_equal(err.message,
			    "--userns=auto: no 1024 unused IDs in a row among "
			    "the 65536 subordinate IDs");
	assert_true(err.hint[0] != '\0');
	/* A gap in the middle is found again. */
	taken[20] = taken[63];
	request.taken_count = 63;
	assert_int_equal(
		userns_mode_resolve(&request, &uids, &gids, &shifted, &err), 0);
	assert_int_equal(uids.extents[0].outside, 65537 - 21 * 1024);
	/* What others hold may overlap and reach over the end. */
	taken[0] = (struct id_extent){.outside = 60000, .count = 4294967295u};
	taken[1] = (struct id_extent){.outside = 59000, .count = 3000};
	taken[2] = (struct id_extent){.outside = 40000, .count = 0};
	request.taken_count = 3;
	assert_int_equal(
		userns_mode_resolve(&request, &uids, &gids, &shifted, &err), 0);
	assert_int_equal(uids.extents[0].outside, 59000 - 1024);
}

static void test_mode_errors(void **state)
{
	static const struct {
		const char *mode;
		const char *message;
	} rows[] = {
		{"private", "--userns: unknown mode \"private\""},
		{"Host", "--userns: unknown mode \"Host\""},
		{"host:x", "--userns=host: unknown parameter \"x\""},
		{"nomap:", "--userns=nomap: unknown parameter \"\""},
		{"auto:", "--userns=auto: unknown parameter \"\""},
		{"auto:size", "--userns=auto: unknown parameter \"size\""},
		{"auto:size=0",
		 "--userns=auto: size: \"0\" is not a number of IDs"},
		{"auto:size=-1",
		 "--userns=auto: size: \"-1\" is not a number of IDs"},
		{"auto:size=65537", "--userns=auto: no 65537 unused IDs in a "
				    "row among the 65536 subordinate IDs"},
		{"auto:size=1,uid=4",
		 "--userns=auto: unknown parameter \"uid=4\""},
		{"keep-id:uid=x", "--userns=keep-id: uid: \"x\" is not an ID"},
		{"keep-id:gid=", "--userns=keep-id: gid: \"\" is not an ID"},
		{"keep-id:uid=4294967295",
		 "--userns=keep-id: uid: \"4294967295\" is not an ID"},
		{"keep-id:size=4",
		 "--userns=keep-id: unknown parameter \"size=4\""},
	};
	struct identity identity = identity_with(MAPPED_UIDS, MAPPED_GIDS);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct userns_mode_request request = {.text = rows[i].mode,
						      .identity = &identity};
		struct id_map uids;
		struct id_map gids;
		struct error err = {0};
		bool shifted;

		assert_true(userns_mode_resolve(&request, &uids, &gids,
						&shifted, &err) < 0);
		assert_string_equal(err.message, rows[i].message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_subids),
		cmocka_unit_test(test_parse_subids_limits),
		cmocka_unit_test(test_read_subids),
		cmocka_unit_test(test_build_pinned),
		cmocka_unit_test(test_build_pinned_fits),
		cmocka_unit_test(test_parse_map),
		cmocka_unit_test(test_look_up),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_modes_split),
		cmocka_unit_test(test_modes_single),
		cmocka_unit_test(test_auto_disjoint),
		cmocka_unit_test(test_mode_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
