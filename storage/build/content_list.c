#include "storage/build/content_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "storage/store/limits.h"
#include "storage/tar/tar_xattrs.h"

void content_list_release(struct content_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		tar_xattrs_free(list->items[i].xattrs,
				list->items[i].xattr_count);
	for (size_t i = 0; i < list->text_count; i++)
		free(list->texts[i]);
	free(list->items);
	free(list->texts);
	*list = (struct content_list){0};
}

const char *content_list_text(struct content_list *list, const char *text,
			      size_t length)
{
	list->bytes += length + 1;
	if (list->bytes > LAYER_NAMES_MAX)
		return NULL;
	if (list->text_count == list->text_room) {
		list->text_room = list->text_room ? 2 * list->text_room : 256;
		list->texts = xrealloc(list->texts, list->text_room,
				       sizeof(*list->texts));
	}
	list->texts[list->text_count] = xstrndup(text, length);
	return list->texts[list->text_count++];
}

int content_list_add(struct content_list *list, const struct content_item *item,
		     struct error *err)
{
	if (list->count == TAR_ENTRIES_MAX || !item->real || !item->name)
		return err_set(err, ERROR_INVALID,
			       "more files than a layer may have");
	if (list->count == list->room) {
		list->room = list->room ? 2 * list->room : 256;
		list->items =
			xrealloc(list->items, list->room, sizeof(*list->items));
	}
	list->items[list->count++] = *item;
	return 0;
}
