/*
 * A container's health, as docker counts it.
 *
 * A check is a command from the image's config or from flags (Config's
 * Healthcheck), run in the container by its monitor (probe.c) each `interval`,
 * counted from the end of the one before; within the start period each
 * `start_interval` for as long as the container is starting. Exit code 0 makes
 * it healthy; `retries` failures in a row make it unhealthy. A failure of a
 * starting container within its start period counts as none.
 *
 * The status lives in state.json, which changes as often as the status does;
 * the streak and the last HEALTH_LOG_MAX results in health.json, in the shape
 * of docker's State.Health without its Status. It is replaced after each probe
 * and never synced: a power cut ends the container anyway. As in docker, the
 * log outlives the container's end and its next start, and a container whose
 * checks do not run (stopped, paused) is unhealthy.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"

#define HEALTH_STARTING	  "starting"
#define HEALTH_HEALTHY	  "healthy"
#define HEALTH_UNHEALTHY  "unhealthy"
#define HEALTH_LOG_MAX	  5
#define HEALTH_OUTPUT_MAX 4096 /* bytes of a probe's output that are kept */
#define HEALTH_FILE	  "health.json"

/* How to probe; defaults are filled in. */
struct health_check {
	char **command; /* NULL: never */
	int64_t interval_ms, timeout_ms;
	int64_t start_period_ms, start_interval_ms;
	int retries;
};

/*
 * Config's Healthcheck and Shell. No check, {"Test":["NONE"]} and kinds of
 * tests that are not known (docker's way) have no command.
 */
int health_check_parse(const cJSON *config, struct health_check *ret_check,
		       struct error *err);
void health_check_release(struct health_check *check);

struct health_result {
	struct timespec start, end;
	int64_t age_ms;	    /* of the container at the probe's start */
	int exit_code;	    /* -1: it could not be had */
	const char *output; /* bytes, as they came */
	size_t length;
};

struct health {
	const char *status; /* one of the words above; NULL: no check */
	int64_t streak;
	cJSON *log; /* NULL: empty */
};

/* What is there from before, for a container that starts now; a log that
   cannot be read is an empty one. */
void health_begin(struct health *health, int directory_fd);
void health_release(struct health *health);
/* Counts a probe; true when the status has changed. */
bool health_take(struct health *health, const struct health_check *check,
		 const struct health_result *result);
/* From now to the next probe, for a container that is age_ms old. */
int64_t health_delay_ms(const struct health *health,
			const struct health_check *check, int64_t age_ms);
int health_write(const struct health *health, int directory_fd,
		 struct error *err);
/* docker's State.Health; status: of state.json. */
cJSON *health_json(const char *status, int directory_fd);

/* "Health check exceeded timeout (1m30s)"; what was said so far follows. */
char *health_timeout_text(int64_t timeout_ms, const char *output);
