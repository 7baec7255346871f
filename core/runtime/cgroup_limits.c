/* OCI's limits, which are version 1's, to the files of version 2. */
#include "core/runtime/cgroup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define SHARES_MIN    2u
#define SHARES_MAX    262144u
#define WEIGHT_MAX    10000u
#define BLKIO_MIN     10u
#define BLKIO_MAX     1000u
#define PERIOD_US     100000u
#define LN_2	      0.69314718055994530942
#define LN_10	      2.30258509299404568402
#define SERIES_TERMS  40
#define FRACTION_BITS 48

static const char *const controller_names[CGROUP_CONTROLLERS] = {
	[CGROUP_CPU] = "cpu",	[CGROUP_CPUSET] = "cpuset",
	[CGROUP_IO] = "io",	[CGROUP_MEMORY] = "memory",
	[CGROUP_PIDS] = "pids",
};

static const char *const rate_names[RATE_COUNT] = {
	[RATE_RBPS] = "rbps",
	[RATE_WBPS] = "wbps",
	[RATE_RIOPS] = "riops",
	[RATE_WIOPS] = "wiops",
};

const char *cgroup_controller_name(enum cgroup_controller controller)
{
	return controller_names[controller];
}

unsigned int cgroup_controllers_parse(const char *text)
{
	unsigned int controllers = 0;

	while (*text) {
		size_t length = strcspn(text, " \n");

		for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
			const char *name = controller_names[i];

			if (strlen(name) == length &&
			    strncmp(text, name, length) == 0)
				controllers |= CGROUP_BIT(i);
		}
		text += length + (text[length] != '\0');
	}
	return controllers;
}

char *cgroup_controllers_text(unsigned int controllers)
{
	struct str text = {0};

	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (controllers & CGROUP_BIT(i))
			str_appendf(&text, "%s%s", text.length ? ", " : "",
				    controller_names[i]);
	}
	return str_steal(&text);
}

void cgroup_limits_release(struct cgroup_limits *limits)
{
	free(limits->cpus);
	free(limits->mems);
	free(limits->devices);
	*limits = (struct cgroup_limits){0};
}

struct cgroup_device *cgroup_limits_device(struct cgroup_limits *limits,
					   uint32_t major, uint32_t minor)
{
	struct cgroup_device *device;

	for (size_t i = 0; i < limits->device_count; i++) {
		device = &limits->devices[i];
		if (device->major == major && device->minor == minor)
			return device;
	}
	limits->devices = xrealloc(limits->devices, limits->device_count + 1,
				   sizeof(*limits->devices));
	device = &limits->devices[limits->device_count++];
	*device = (struct cgroup_device){.major = major, .minor = minor};
	return device;
}

unsigned int cgroup_limits_controllers(const struct cgroup_limits *limits)
{
	unsigned int needed = 0;

	if (limits->memory > 0 || limits->swap > 0 || limits->reservation > 0)
		needed |= CGROUP_BIT(CGROUP_MEMORY);
	if (limits->shares || limits->quota > 0 || limits->period)
		needed |= CGROUP_BIT(CGROUP_CPU);
	if (!str_empty(limits->cpus) || !str_empty(limits->mems))
		needed |= CGROUP_BIT(CGROUP_CPUSET);
	if (limits->pids > 0)
		needed |= CGROUP_BIT(CGROUP_PIDS);
	if (limits->weight || limits->device_count > 0)
		needed |= CGROUP_BIT(CGROUP_IO);
	return needed;
}

static int check_weight(uint32_t weight, struct error *err)
{
	if (weight == 0 || (weight >= BLKIO_MIN && weight <= BLKIO_MAX))
		return 0;
	return err_set(err, ERROR_INVALID,
		       "the block IO weight %u is not between %u and %u",
		       weight, BLKIO_MIN, BLKIO_MAX);
}

int cgroup_limits_check(const struct cgroup_limits *limits, struct error *err)
{
	int r = check_weight(limits->weight, err);

	for (size_t i = 0; r == 0 && i < limits->device_count; i++)
		r = check_weight(limits->devices[i].weight, err);
	if (r < 0)
		return r;
	if (limits->swap > 0 && limits->memory <= 0)
		return err_set(err, ERROR_INVALID,
			       "a limit of memory and swap needs one of "
			       "memory");
	if (limits->swap > 0 && limits->swap < limits->memory)
		return err_set(err, ERROR_INVALID,
			       "the limit of memory and swap is below that of "
			       "memory");
	return 0;
}

/* log2 of a whole number >= 1, without libm, which costs a start its time. */
static double log_2(uint64_t number)
{
	double value = (double)number, bit = 1;
	double result = 0;

	while (value >= 2) {
		value /= 2;
		result++;
	}
	for (int i = 0; i < FRACTION_BITS; i++) {
		bit /= 2;
		value *= value;
		if (value >= 2) {
			value /= 2;
			result += bit;
		}
	}
	return result;
}

/* 10 to the power of 0 … 4. */
static double power_of_10(double exponent)
{
	double x = exponent * LN_10;
	double term = 1, sum = 1, scale = 1;

	while (x > LN_2) {
		x -= LN_2;
		scale *= 2;
	}
	for (int i = 1; i < SERIES_TERMS; i++) {
		term *= x / i;
		sum += term;
	}
	return sum * scale;
}

/*
 * A curve through (2, 1), (1024, 100) and (262144, 10000), both with logarithms
 * as axes: what is the default there is the default here, too.
 */
uint64_t cgroup_weight_of_shares(uint64_t shares)
{
	double l, exact;
	uint64_t weight;

	if (shares <= SHARES_MIN)
		return 1;
	if (shares >= SHARES_MAX)
		return WEIGHT_MAX;
	l = log_2(shares);
	exact = power_of_10((l * l + 125 * l) / 612 - 7.0 / 34);
	/* Up to the next whole number, but for what is only rounding. */
	weight = (uint64_t)exact;
	if (exact - (double)weight > 1e-9)
		weight++;
	return weight;
}

uint64_t cgroup_weight_of_blkio(uint32_t weight)
{
	if (weight <= BLKIO_MIN)
		return 1;
	if (weight >= BLKIO_MAX)
		return WEIGHT_MAX;
	return 1 + (uint64_t)(weight - BLKIO_MIN) * (WEIGHT_MAX - 1) /
			   (BLKIO_MAX - BLKIO_MIN);
}

static int write_text(int cgroup_fd, const char *file, const char *text,
		      struct error *err)
{
	int r = file_write_once_at(cgroup_fd, file, text, err);

	return r < 0 ? err_wrap(err, "cannot set %s to %s", file, text) : 0;
}

static int write_number(int cgroup_fd, const char *file, int64_t value,
			struct error *err)
{
	cleanup_free char *text =
		value < 0 ? xstrdup("max") : xasprintf("%" PRId64, value);
	int r = write_text(cgroup_fd, file, text, err);

	/* Where there is no such controller, nothing is limited. */
	if (r == -ENOENT && value < 0) {
		err_clear(err);
		return 0;
	}
	return r;
}

/* v2's limit is of swap alone, docker's and OCI's of both. */
static int write_swap(int cgroup_fd, const struct cgroup_limits *limits,
		      struct error *err)
{
	int64_t swap = limits->swap < 0 ? CGROUP_UNLIMITED
					: limits->swap - limits->memory;
	int r = write_number(cgroup_fd, "memory.swap.max", swap, err);

	/* Without accounting of swap: what nobody has asked for may fail. */
	if (r == -ENOENT && swap == limits->memory) {
		err_clear(err);
		return 0;
	}
	return r;
}

static int write_memory(int cgroup_fd, const struct cgroup_limits *limits,
			struct error *err)
{
	int r = 0;

	if (limits->memory)
		r = write_number(cgroup_fd, "memory.max", limits->memory, err);
	if (r == 0 && limits->swap)
		r = write_swap(cgroup_fd, limits, err);
	if (r == 0 && limits->reservation)
		r = write_number(cgroup_fd, "memory.low", limits->reservation,
				 err);
	return r;
}

static int write_cpu(int cgroup_fd, const struct cgroup_limits *limits,
		     struct error *err)
{
	uint64_t period = limits->period ? limits->period : PERIOD_US;
	cleanup_free char *text = NULL;
	int r = 0;

	if (limits->shares)
		r = write_number(
			cgroup_fd, "cpu.weight",
			(int64_t)cgroup_weight_of_shares(limits->shares), err);
	if (r < 0 || (!limits->quota && !limits->period))
		return r;
	text = limits->quota > 0 ? xasprintf("%" PRId64 " %" PRIu64,
					     limits->quota, period)
				 : xasprintf("max %" PRIu64, period);
	return write_text(cgroup_fd, "cpu.max", text, err);
}

static int write_cpuset(int cgroup_fd, const struct cgroup_limits *limits,
			struct error *err)
{
	int r = 0;

	if (!str_empty(limits->cpus))
		r = write_text(cgroup_fd, "cpuset.cpus", limits->cpus, err);
	if (r == 0 && !str_empty(limits->mems))
		r = write_text(cgroup_fd, "cpuset.mems", limits->mems, err);
	return r;
}

/*
 * Of the kernel's two schedulers by weight, BFQ takes v1's range, and has its
 * own file. device: "", or "MAJOR:MINOR ".
 */
static int write_weight(int cgroup_fd, const char *device, uint32_t weight,
			struct error *err)
{
	cleanup_free char *bfq = xasprintf("%s%u", device, weight);
	cleanup_free char *text =
		xasprintf("%s%" PRIu64, *device ? device : "default ",
			  cgroup_weight_of_blkio(weight));
	int r = file_write_once_at(cgroup_fd, "io.bfq.weight", bfq, NULL);

	if (r == 0)
		return 0;
	r = write_text(cgroup_fd, "io.weight", text, err);
	if (r == -ENOENT) {
		err_set(err, ERROR_UNSUPPORTED,
			"this kernel has no block IO weights for cgroups");
		return err_hint(err, "load the scheduler that has them (sudo "
				     "modprobe bfq), or leave it out");
	}
	return r;
}

static int write_rates(int cgroup_fd, const struct cgroup_device *device,
		       struct error *err)
{
	cleanup_str struct str text = {0};
	bool any = false;

	str_appendf(&text, "%u:%u", device->major, device->minor);
	for (size_t i = 0; i < RATE_COUNT; i++) {
		if (!device->rates[i])
			continue;
		str_appendf(&text, " %s=%" PRIu64, rate_names[i],
			    device->rates[i]);
		any = true;
	}
	return any ? write_text(cgroup_fd, "io.max", text.data, err) : 0;
}

static int write_io(int cgroup_fd, const struct cgroup_limits *limits,
		    struct error *err)
{
	int r = 0;

	if (limits->weight)
		r = write_weight(cgroup_fd, "", limits->weight, err);
	for (size_t i = 0; r == 0 && i < limits->device_count; i++) {
		const struct cgroup_device *device = &limits->devices[i];
		cleanup_free char *name =
			xasprintf("%u:%u ", device->major, device->minor);

		if (device->weight)
			r = write_weight(cgroup_fd, name, device->weight, err);
		if (r == 0)
			r = write_rates(cgroup_fd, device, err);
	}
	return r;
}

int cgroup_limits_write(int cgroup_fd, const struct cgroup_limits *limits,
			struct error *err)
{
	int r = cgroup_limits_check(limits, err);

	if (r == 0)
		r = write_memory(cgroup_fd, limits, err);
	if (r == 0)
		r = write_cpu(cgroup_fd, limits, err);
	if (r == 0)
		r = write_cpuset(cgroup_fd, limits, err);
	if (r == 0 && limits->pids)
		r = write_number(cgroup_fd, "pids.max", limits->pids, err);
	if (r == 0)
		r = write_io(cgroup_fd, limits, err);
	return r;
}
