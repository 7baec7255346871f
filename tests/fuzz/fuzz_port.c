/*
 * net/port.h: --publish and --expose. Whatever is accepted keeps the list's
 * promises; whatever is refused leaves it alone and says so.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "net/port.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int r, size_t old_count, const struct port_list *list,
		  const struct error *err)
{
	if (r < 0) {
		assert(list->count == old_count);
		assert(err->message[0] != '\0');
		return;
	}
	assert(list->count > old_count && list->count <= PORT_MAPPINGS_MAX);
	for (size_t i = old_count; i < list->count; i++) {
		const struct port_mapping *mapping = &list->entries[i];

		assert(mapping->container_port > 0);
		assert(mapping->host_port_end >= mapping->host_port);
		assert(strlen(mapping->host_ip) < sizeof(mapping->host_ip));
		assert(mapping->protocol == PORT_TCP ||
		       mapping->protocol == PORT_UDP);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = xstrndup((const char *)data, size);
	struct port_list list = {0};

	/* Twice, so that the second finds a list with entries. */
	for (int i = 0; i < 2; i++) {
		struct error err = {0};
		size_t count = list.count;
		int r = port_parse_publish(text, &list, &err);

		check(r, count, &list, &err);
		err = (struct error){0};
		count = list.count;
		r = port_parse_expose(text, &list, &err);
		check(r, count, &list, &err);
	}
	port_list_release(&list);
	return 0;
}
