/* net/names.h */
#include "net/names.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

/* The networks directory of a store, with containers that hold endpoints. */
struct world {
	char path[32];
	int directory_fd;
	struct names *names; /* of network "front" */
};

static int set_up(void **state)
{
	struct world *world = xcalloc(1, sizeof(*world));

	strcpy(world->path, "/tmp/moss-names-XXXXXX");
	assert_non_null(mkdtemp(world->path));
	world->directory_fd =
		open(world->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(world->directory_fd >= 0);
	assert_int_equal(mkdirat(world->directory_fd, "front", 0755), 0);
	assert_int_equal(mkdirat(world->directory_fd, "front/endpoints", 0755),
			 0);
	assert_int_equal(mkdirat(world->directory_fd, "Back", 0755), 0);
	assert_int_equal(mkdirat(world->directory_fd, "Back/endpoints", 0755),
			 0);
	world->names = names_new(world->directory_fd, "front");
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	names_free(world->names);
	close(world->directory_fd);
	assert_int_equal(tree_remove_at(AT_FDCWD, world->path, NULL), 0);
	free(world);
	return 0;
}

/* Writes an endpoint as a monitor does; the lock is the returned descriptor. */
static int join(const struct world *world, const char *network, const char *id,
		const char *json)
{
	cleanup_free char *path = xasprintf("%s/endpoints/%s", network, id);
	int fd = lock_open_at(world->directory_fd, path, LOCK_EXCLUSIVE, false,
			      NULL);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, json, strlen(json)), strlen(json));
	return fd;
}

static void leave(const struct world *world, const char *network,
		  const char *id, int fd)
{
	cleanup_free char *path = xasprintf("%s/endpoints/%s", network, id);

	assert_int_equal(unlinkat(world->directory_fd, path, 0), 0);
	close(fd);
}

static struct net_address_value parse(const char *text)
{
	struct net_address_value address = {0};

	assert_true(address_parse(text, &address));
	return address;
}

static const struct names_client *client_at(const struct world *world,
					    const char *text)
{
	struct net_address_value address = parse(text);

	return names_client(world->names, &address);
}

/* The addresses of name as who asks from `from` hears them: "a b"; NULL: nobody
   has the name. */
static char *find(const struct world *world, const char *from, const char *name)
{
	struct net_address_value found[NAMES_ADDRESSES_MAX];
	const struct names_client *client = client_at(world, from);
	char *text = xstrdup("");
	size_t count;

	assert_non_null(client);
	if (!names_find(world->names, client, name, found, &count)) {
		free(text);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		char address[ADDRESS_TEXT_MAX];
		char *longer;

		address_text(&found[i], address);
		longer = xasprintf("%s%s%s", text, i ? " " : "", address);
		free(text);
		text = longer;
	}
	return text;
}

static void assert_found(const struct world *world, const char *from,
			 const char *name, const char *wanted)
{
	cleanup_free char *text = find(world, from, name);

	if (!wanted) {
		assert_null(text);
		return;
	}
	assert_non_null(text);
	assert_string_equal(text, wanted);
}

#define WEB                                                          \
	"{\"Names\": [\"Web\", \"www\"], \"Address\": \"10.1.0.2\"," \
	" \"Address6\": \"fd01::2\", \"Forward\": true, \"Dns\": "   \
	"[\"9.9.9.9\"]}"
#define DB                                                 \
	"{\"Names\": [\"db\"], \"Address\": \"10.1.0.3\"," \
	" \"Address6\": \"\", \"Forward\": false, \"Dns\": []}"

static void test_names(void **state)
{
	const struct world *world = *state;
	int web, db;

	assert_false(names_any(world->names));
	assert_null(client_at(world, "10.1.0.2"));
	web = join(world, "front", "1111", WEB);
	db = join(world, "front", "2222", DB);
	assert_true(names_any(world->names));

	assert_found(world, "10.1.0.3", "web", "10.1.0.2 fd01::2");
	assert_found(world, "10.1.0.3", "www.front", "fd01::2 10.1.0.2");
	assert_found(world, "10.1.0.2", "db", "10.1.0.3");
	assert_found(world, "10.1.0.2", "db.back", NULL);
	assert_found(world, "10.1.0.2", "d", NULL);
	assert_found(world, "10.1.0.2", "dbx", NULL);
	assert_found(world, "10.1.0.2", "db.", NULL);
	assert_found(world, "10.1.0.2", "", NULL);

	/* By either of its addresses it is known, with what it may. */
	assert_true(names_may_forward(client_at(world, "fd01::2")));
	assert_string_equal(names_resolvers(client_at(world, "10.1.0.2"))[0],
			    "9.9.9.9");
	assert_false(names_may_forward(client_at(world, "10.1.0.3")));
	assert_null(client_at(world, "10.1.0.4"));
	assert_null(client_at(world, "::"));

	leave(world, "front", "1111", web);
	assert_found(world, "10.1.0.3", "web", NULL);
	close(db);
}

/* A container whose wire has no IPv6 (net/bridge_routed.h). */
static void test_routed(void **state)
{
	const struct world *world = *state;
	int web = join(world, "front", "1111", WEB);
	int box = join(world, "front", "2222",
		       "{\"Names\": [\"box\"], \"Address\": \"10.1.0.3\","
		       " \"Forward\": false, \"Routed\": true}");

	assert_true(names_is_routed(client_at(world, "10.1.0.3")));
	assert_false(names_is_routed(client_at(world, "10.1.0.2")));
	assert_found(world, "10.1.0.3", "web", "10.1.0.2");
	assert_found(world, "10.1.0.2", "box", "10.1.0.3");
	close(web);
	close(box);
}

/* kill -9 of a monitor leaves its file behind, but no lock. */
static void test_dead_holder(void **state)
{
	const struct world *world = *state;
	int web = join(world, "front", "1111", WEB);
	int db = join(world, "front", "2222", DB);

	assert_found(world, "10.1.0.3", "web", "10.1.0.2 fd01::2");
	close(web);
	assert_found(world, "10.1.0.3", "web", NULL);
	assert_null(client_at(world, "10.1.0.2"));
	assert_true(names_any(world->names));
	close(db);
	assert_false(names_any(world->names));
}

static void test_round_robin(void **state)
{
	const struct world *world = *state;
	int fds[4];
	unsigned int firsts[4] = {0};

	for (unsigned int i = 0; i < 4; i++) {
		char id[8];
		cleanup_free char *json =
			xasprintf("{\"Names\": [\"c%u\", \"all\"],"
				  " \"Address\": \"10.1.0.%u\"}",
				  i, 2 + i);

		snprintf(id, sizeof(id), "%u", i);
		fds[i] = join(world, "front", id, json);
	}
	for (unsigned int i = 0; i < 40; i++) {
		struct net_address_value found[NAMES_ADDRESSES_MAX];
		size_t count;

		assert_true(names_find(world->names,
				       client_at(world, "10.1.0.2"), "all",
				       found, &count));
		assert_int_equal(count, 4);
		firsts[found[0].bytes[3] - 2]++;
	}
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(firsts[i], 10);
		close(fds[i]);
	}
}

/* More of one name than an answer has room for. */
static void test_many_of_one_name(void **state)
{
	const struct world *world = *state;
	int fds[NAMES_ADDRESSES_MAX + 20];
	struct net_address_value found[NAMES_ADDRESSES_MAX];
	size_t count;

	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++) {
		char id[8];
		cleanup_free char *json = xasprintf(
			"{\"Names\": [\"all\"], \"Address\": \"10.1.1.%u\"}",
			i);

		snprintf(id, sizeof(id), "%u", i);
		fds[i] = join(world, "front", id, json);
	}
	assert_true(names_find(world->names, client_at(world, "10.1.1.7"),
			       "all", found, &count));
	assert_int_equal(count, NAMES_ADDRESSES_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* A container hears of all its networks, another of its own only. */
static void test_several_networks(void **state)
{
	const struct world *world = *state;
	int web = join(world, "front", "1111", WEB);
	int db = join(world, "front", "2222", DB);
	int web_back =
		join(world, "Back", "1111",
		     "{\"Names\": [\"web\"], \"Address\": \"10.2.0.2\"}");
	int hidden =
		join(world, "Back", "3333",
		     "{\"Names\": [\"hidden\"], \"Address\": \"10.2.0.3\"}");
	struct net_address_value there = parse("10.2.0.3");
	cleanup_free char *name = names_reverse(
		world->names, client_at(world, "10.1.0.2"), &there);

	assert_found(world, "10.1.0.2", "hidden", "10.2.0.3");
	assert_found(world, "10.1.0.2", "hidden.back", "10.2.0.3");
	assert_found(world, "10.1.0.2", "hidden.front", NULL);
	assert_found(world, "10.1.0.3", "hidden", NULL);
	assert_string_equal(name, "hidden.Back");
	assert_null(names_reverse(world->names, client_at(world, "10.1.0.3"),
				  &there));
	/* Of two networks that have the name, the server's own is heard. */
	assert_found(world, "10.1.0.2", "web", "10.1.0.2 fd01::2");
	close(web);
	close(db);
	close(web_back);
	close(hidden);
}

static void test_reverse(void **state)
{
	const struct world *world = *state;
	int web = join(world, "front", "1111", WEB);
	int db = join(world, "front", "2222", DB);
	struct net_address_value v6 = parse("fd01::2");
	struct net_address_value nobody = parse("10.1.0.9");
	cleanup_free char *name =
		names_reverse(world->names, client_at(world, "10.1.0.3"), &v6);

	assert_string_equal(name, "web.front");
	assert_null(names_reverse(world->names, client_at(world, "10.1.0.3"),
				  &nobody));
	close(web);
	close(db);
}

/* Whatever lies in the directory, the others are served. */
static void test_strange_files(void **state)
{
	const struct world *world = *state;
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"{\"Names\": 1}",
		"{\"Names\": [1], \"Address\": \"10.1.0.7\"}",
		"{\"Names\": [\"web\"], \"Address\": 7}",
		"{\"Names\": [\"strange\"], \"Address\": \"10.1.0.300\"}",
		"{\"Address\": \"10.1.0.8\"}",
	};
	int web = join(world, "front", "1111", WEB);
	int fds[ARRAY_SIZE(texts)];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char id[8];

		snprintf(id, sizeof(id), "%zu", i);
		fds[i] = join(world, "front", id, texts[i]);
	}
	assert_int_equal(
		mkdirat(world->directory_fd, "front/endpoints/d", 0755), 0);
	assert_int_equal(
		symlinkat("1111", world->directory_fd, "front/endpoints/l"), 0);
	assert_found(world, "10.1.0.2", "web", "10.1.0.2 fd01::2");
	/* It has the name, and no address that could be told. */
	assert_found(world, "10.1.0.2", "strange", "");
	/* One without names may still ask. */
	assert_found(world, "10.1.0.8", "www", "fd01::2 10.1.0.2");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		close(fds[i]);
	close(web);
}

/* A network removed and made again under its name is another one. */
static void test_network_made_anew(void **state)
{
	const struct world *world = *state;
	int web = join(world, "front", "1111", WEB);

	assert_true(names_any(world->names));
	leave(world, "front", "1111", web);
	assert_int_equal(tree_remove_at(world->directory_fd, "front", NULL), 0);
	assert_false(names_any(world->names));
	assert_int_equal(mkdirat(world->directory_fd, "front", 0755), 0);
	assert_int_equal(mkdirat(world->directory_fd, "front/endpoints", 0755),
			 0);
	web = join(world, "front", "1111", WEB);
	assert_found(world, "10.1.0.2", "web", "10.1.0.2 fd01::2");
	close(web);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_routed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_dead_holder, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_round_robin, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_many_of_one_name, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_several_networks, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_reverse, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_strange_files, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_network_made_anew, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
