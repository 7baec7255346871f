#include "cmd/fields.h"

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/str.h"

int fields_split(const char *text, char ***ret_fields, struct error *err)
{
	cleanup_strv char **fields = NULL;
	cleanup_str struct str field = {0};
	bool quoted = false;

	for (;; text++) {
		if (*text == '\0' && quoted)
			return err_set(err, ERROR_INVALID,
				       "a quote is not closed");
		if (*text == '"') {
			quoted = !quoted;
		} else if (*text == '\0' || (*text == ',' && !quoted)) {
			strv_push(&fields, str_text(&field));
			str_clear(&field);
			if (*text == '\0')
				break;
		} else {
			str_append_char(&field, *text);
		}
	}
	*ret_fields = steal_ptr(&fields);
	return 0;
}
