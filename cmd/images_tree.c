#include "cmd/images_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/member.h"
#include "cmd/text.h"
#include "storage/store/digest.h"

#define GAP	 3
#define NAME_MIN 16 /* columns; below that, others go */
#define BOLD	 "\033[1m"
#define PLAIN	 "\033[0m"
#define LEGEND	 "U  In Use"
#define CELLS	 4

/* The columns after the name's. */
static const struct {
	const char *heading;
	size_t width;
	bool right;
} cells[CELLS] = {
	{"ID", 12, false},
	{"DISK USAGE", 10, true},
	{"CONTENT SIZE", 12, true},
	{"EXTRA", 5, false},
};

struct layout {
	size_t name_width;
	size_t cell_count;
	bool color;
	struct str text;
};

void images_tree_release(struct images_tree *tree)
{
	cJSON_Delete(tree->images);
	tree->images = NULL;
}

void images_tree_add(struct images_tree *tree, const struct image_name *name)
{
	const char *id = text_of(name->image, "Id");
	cleanup_free char *text = NULL;
	cJSON *last;

	if (!tree->images)
		tree->images = json_array();
	last = cJSON_GetArrayItem(tree->images,
				  cJSON_GetArraySize(tree->images) - 1);
	if (!last || !str_equal(text_of(member_of(last, "Image"), "Id"), id)) {
		last = json_object();
		json_set(last, "Names", json_array());
		json_set(last, "Image", cJSON_Duplicate(name->image, true));
		json_push(tree->images, last);
	}
	if (str_equal(name->repository, ROW_NONE))
		text = xstrdup("<untagged>");
	else if (str_equal(name->tag, ROW_NONE))
		text = xasprintf("%s@%s", name->repository, name->digest);
	else
		text = xasprintf("%s:%s", name->repository, name->tag);
	json_push_string(cJSON_GetObjectItemCaseSensitive(last, "Names"), text);
}

static char *platform_text_of(const cJSON *manifest, bool last)
{
	const cJSON *platform =
		member_of(member_of(manifest, "ImageData"), "Platform");
	const char *variant = text_of(platform, "variant");

	return xasprintf("%s %s/%s%s%s", last ? "└─" : "├─",
			 text_of(platform, "os"),
			 text_of(platform, "architecture"), *variant ? "/" : "",
			 variant);
}

/* ---- width ---- */

static void widen(struct layout *layout, const char *text)
{
	cleanup_free char *plain = text_printable(text, true);
	size_t width = text_width(plain);

	if (width > layout->name_width)
		layout->name_width = width;
}

static void measure(struct layout *layout, const cJSON *images)
{
	const cJSON *entry, *item;

	cJSON_ArrayForEach(entry, images)
	{
		cJSON_ArrayForEach(item, member_of(entry, "Names"))
		{
			widen(layout, item->valuestring);
		}
		cJSON_ArrayForEach(
			item, member_of(member_of(entry, "Image"), "Manifests"))
		{
			cleanup_free char *text = platform_text_of(item, true);

			widen(layout, text);
		}
	}
}

static size_t cells_width(const struct layout *layout)
{
	size_t width = 0;

	for (size_t i = 0; i < layout->cell_count; i++)
		width += GAP + cells[i].width;
	return width;
}

/* Columns go from the right until the names have room, then names are cut. */
static void fit(struct layout *layout, size_t columns)
{
	size_t wanted =
		layout->name_width < NAME_MIN ? layout->name_width : NAME_MIN;

	while (layout->cell_count > 0 && wanted + cells_width(layout) > columns)
		layout->cell_count--;
	if (layout->name_width + cells_width(layout) > columns)
		layout->name_width = columns - cells_width(layout);
}

/* ---- lines ---- */

static void add_name(struct layout *layout, const char *name, bool bold,
		     bool pad)
{
	cleanup_free char *plain = text_printable(name, true);
	cleanup_free char *shown = text_cut(plain, layout->name_width);
	size_t width = text_width(shown);

	str_appendf(&layout->text, "%s%s%s", bold && layout->color ? BOLD : "",
		    shown, bold && layout->color ? PLAIN : "");
	if (pad && width < layout->name_width)
		str_appendf(&layout->text, "%*s",
			    (int)(layout->name_width - width), "");
}

static void add_cells(struct layout *layout, const char *const texts[CELLS],
		      bool bold)
{
	size_t count = layout->cell_count;

	while (count > 0 && !*texts[count - 1])
		count--;
	for (size_t i = 0; i < count; i++) {
		int width = (int)cells[i].width;

		str_appendf(&layout->text, "%*s%s", GAP, "",
			    bold && layout->color ? BOLD : "");
		/* The last one needs no blanks behind it. */
		str_appendf(&layout->text, "%*s",
			    cells[i].right   ? width
			    : i + 1 == count ? 0
					     : -width,
			    texts[i]);
		if (bold && layout->color)
			str_append(&layout->text, PLAIN);
	}
	str_append_char(&layout->text, '\n');
}

static void add_sizes_line(struct layout *layout, const char *digest,
			   int64_t disk, int64_t content, const char *extra)
{
	cleanup_free char *disk_text = format_bytes_short((uint64_t)disk);
	cleanup_free char *content_text = format_bytes_short((uint64_t)content);
	char id[DIGEST_SHORT_MAX];

	digest_short(id, digest);
	add_cells(
		layout,
		(const char *const[CELLS]){id, disk_text, content_text, extra},
		false);
}

static void add_image(struct layout *layout, const cJSON *entry)
{
	const cJSON *image = member_of(entry, "Image");
	const cJSON *manifests = member_of(image, "Manifests");
	const cJSON *item;
	int64_t content = 0;

	cJSON_ArrayForEach(item, manifests)
	{
		content += number_of(member_of(item, "Size"), "Content");
	}
	cJSON_ArrayForEach(item, member_of(entry, "Names"))
	{
		add_name(layout, item->valuestring, true, item->next == NULL);
		if (item->next)
			str_append_char(&layout->text, '\n');
	}
	add_sizes_line(layout, text_of(image, "Id"),
		       number_of(image, "Size") + content, content,
		       number_of(image, "Containers") > 0 ? "U" : "");
	cJSON_ArrayForEach(item, manifests)
	{
		cleanup_free char *text = platform_text_of(item, !item->next);
		const cJSON *size = member_of(item, "Size");

		add_name(layout, text, false, true);
		add_sizes_line(layout, text_of(item, "ID"),
			       number_of(size, "Total"),
			       number_of(size, "Content"), "");
	}
}

/* What the letters mean, at the right end; on a terminal only. */
static void add_legend(struct layout *layout, size_t columns)
{
	size_t width = layout->name_width + cells_width(layout);

	if (columns == 0 || layout->cell_count < CELLS)
		return;
	str_appendf(&layout->text, "%*s\n\n", (int)width, LEGEND);
}

char *images_tree_text(const struct images_tree *tree, size_t columns,
		       bool color)
{
	struct layout layout = {
		.name_width = strlen("IMAGE"),
		.cell_count = CELLS,
		.color = color,
	};
	const cJSON *entry;

	measure(&layout, tree->images);
	if (columns > 0)
		fit(&layout, columns);
	add_legend(&layout, columns);
	add_name(&layout, "IMAGE", true, true);
	add_cells(&layout,
		  (const char *const[CELLS]){cells[0].heading, cells[1].heading,
					     cells[2].heading,
					     cells[3].heading},
		  true);
	cJSON_ArrayForEach(entry, tree->images)
	{
		add_image(&layout, entry);
		if (entry->next)
			str_append_char(&layout.text, '\n');
	}
	return str_steal(&layout.text);
}
