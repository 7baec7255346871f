/* Which images the containers use: core/engine/container.h. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"

struct image_user {
	char *image_id;
	char *container_id; /* a running one if there is any */
	bool running;
	int containers;
};

void image_users_release(struct image_users *users)
{
	for (size_t i = 0; i < users->count; i++) {
		free(users->users[i].image_id);
		free(users->users[i].container_id);
	}
	free(users->users);
	*users = (struct image_users){.engine = users->engine};
}

static struct image_user *find(const struct image_users *users,
			       const char *image_id)
{
	for (size_t i = 0; i < users->count; i++)
		if (str_equal(users->users[i].image_id, image_id))
			return &users->users[i];
	return NULL;
}

static void add_use(struct image_users *users, const char *image_id,
		    const struct container *container)
{
	struct image_user *user = find(users, image_id);

	if (!user) {
		users->users = xrealloc(users->users, users->count + 1,
					sizeof(*users->users));
		user = &users->users[users->count++];
		*user = (struct image_user){.image_id = xstrdup(image_id)};
	}
	user->containers++;
	/* A running one is the better reason. */
	if (!user->container_id ||
	    (!user->running && container_is_running(container))) {
		free(user->container_id);
		user->container_id = xstrdup(container->record.id);
		user->running = container_is_running(container);
	}
}

char **container_images(const struct container *container)
{
	const cJSON *engine = member_get(container->json, "Engine");
	const cJSON *mount;
	char **ids = NULL;

	strv_push(&ids, member_string(container->json, "Image"));
	cJSON_ArrayForEach(mount, member_get(engine, "Mounts"))
	{
		const char *id = member_string(mount, "Source");

		if (str_equal(member_string(mount, "Type"), "image") &&
		    !strv_contains(ids, id))
			strv_push(&ids, id);
	}
	return ids;
}

static int add_container(const struct container *container, void *data,
			 struct error *err)
{
	cleanup_strv char **ids = container_images(container);

	for (size_t i = 0; ids[i]; i++)
		add_use(data, ids[i], container);
	return 0;
}

static int read_all(struct image_users *users)
{
	int r;

	if (users->known)
		return 0;
	r = container_for_each(users->engine, add_container, users, NULL);
	if (r < 0)
		return r;
	users->known = true;
	return 0;
}

int image_users_find(const char *image_id, char **ret_container_id,
		     bool *ret_running, void *data)
{
	struct image_users *users = data;
	const struct image_user *user;
	int r = read_all(users);

	if (r < 0)
		return r;
	user = find(users, image_id);
	if (!user)
		return 0;
	if (ret_container_id)
		*ret_container_id = xstrdup(user->container_id);
	if (ret_running)
		*ret_running = user->running;
	return 1;
}

int image_users_count(struct image_users *users, const char *image_id)
{
	const struct image_user *user;
	int r = read_all(users);

	if (r < 0)
		return r;
	user = find(users, image_id);
	return user ? user->containers : 0;
}
