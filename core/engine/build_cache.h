/*
 * The build cache as the engine's users see it: results of steps
 * (storage/store/build_cache.h) and the directories of RUN --mount=type=cache
 * (storage/store/cache_mount.h) in one list, which du shows and prune chooses
 * from. What is removed is chosen without a lock; what a build takes into use
 * in between stays.
 *
 * How much it may take is said by moss.conf ([build] cache-size), and by
 * default follows docker's: up to 80 % of the disk and 100 GB, as long as a
 * fifth of the disk stays free, but 10 % of the disk, 10 GB at most, in any
 * case. A build that made something new keeps to that in the end: what was not
 * used for the longest time goes, of what was used together the last step
 * first, as nothing finds it without those before. What an image has, too,
 * takes no room here. To measure directories takes its time, so that they are
 * looked at once an hour (build/measured has the time), and nothing is when
 * build/cache is as it was the last time (build/trimmed has its time): a build
 * that found everything pays for two system calls.
 */
#pragma once

#include "base/conf.h"
#include "core/engine/engine.h"

extern const struct conf_key build_conf_keys[];
