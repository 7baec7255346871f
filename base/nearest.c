#include "base/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/str.h"

#define DISTANCE_MAX 2

static unsigned int lesser(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

static bool is_same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Of the first i of a from the first j of b, once all shorter ones are known.
 */
static unsigned int one_distance(const char *a, size_t i, const char *b,
				 size_t j, unsigned int rows[][NEAREST_MAX + 1])
{
	unsigned int apart = lesser(rows[i - 1][j], rows[i][j - 1]) + 1;
	bool other = !is_same(a[i - 1], b[j - 1]);

	apart = lesser(apart, rows[i - 1][j - 1] + other);
	if (i > 1 && j > 1 && is_same(a[i - 1], b[j - 2]) &&
	    is_same(a[i - 2], b[j - 1]))
		apart = lesser(apart, rows[i - 2][j - 2] + 1);
	return apart;
}

static unsigned int distance(const char *a, const char *b)
{
	unsigned int rows[NEAREST_MAX + 1][NEAREST_MAX + 1];
	size_t height = strlen(a), width = strlen(b);

	for (size_t i = 0; i <= height; i++)
		rows[i][0] = (unsigned int)i;
	for (size_t j = 0; j <= width; j++)
		rows[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= height; i++) {
		for (size_t j = 1; j <= width; j++)
			rows[i][j] = one_distance(a, i, b, j, rows);
	}
	return rows[height][width];
}

void nearest_try(struct nearest *nearest, const char *name)
{
	unsigned int apart;

	if (strlen(nearest->text) > NEAREST_MAX || strlen(name) > NEAREST_MAX)
		return;
	apart = distance(nearest->text, name);
	/* Two letters of three say nothing. */
	if (apart > DISTANCE_MAX || 2 * apart > strlen(name) ||
	    (nearest->found && apart >= nearest->distance))
		return;
	nearest->found = name;
	nearest->distance = apart;
}

char *nearest_question(const struct nearest *nearest)
{
	return nearest->found
		       ? xasprintf(" (did you mean %.64s?)", nearest->found)
		       : xstrdup("");
}
