/* One run of the helper program moss-image, see storage/transfer.h. */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "storage/store/store.h"

struct transfer {
	const char *command;
	cJSON *request;	 /* gets the store's path */
	int input_fd;	 /* -1: none */
	int output_fd;	 /* -1: none */
	int progress_fd; /* -1: none */
};

/* The helper's result, or its error. */
int transfer_run(const struct store *store, const struct transfer *transfer,
		 cJSON **ret_result, struct error *err);
