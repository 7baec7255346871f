#include "storage/store/platform.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/str.h"

#define MATCH_EXACT 100

/* Go's names of what linux runs on: a platform of one word is one of them. */
static const char *const architectures[] = {
	"386",	    "amd64",  "arm",   "arm64",	  "loong64", "mips",  "mips64",
	"mips64le", "mipsle", "ppc64", "ppc64le", "riscv64", "s390x",
};

/* Names of machines, distributions and the kernel, and Go's. */
static const struct alias {
	const char *name;
	const char *architecture;
	const char *variant;
} aliases[] = {
	{"x86_64", "amd64", ""},
	{"x86-64", "amd64", ""},
	{"aarch64", "arm64", ""},
	{"armhf", "arm", "v7"},
	{"armel", "arm", "v6"},
	{"armv8l", "arm", "v7"},
	{"armv7l", "arm", "v7"},
	{"armv6l", "arm", "v6"},
	{"armv5tel", "arm", "v5"},
	{"i386", "386", ""},
	{"i486", "386", ""},
	{"i586", "386", ""},
	{"i686", "386", ""},
	{"loongarch64", "loong64", ""},
	{"powerpc64le", "ppc64le", ""},
	{"mips64el", "mips64le", ""},
};

static void set_part(char part[PLATFORM_PART_MAX], const char *text)
{
	size_t length = text ? strnlen(text, PLATFORM_PART_MAX - 1) : 0;

	for (size_t i = 0; i < length; i++)
		part[i] = (char)tolower((unsigned char)text[i]);
	memset(part + length, 0, PLATFORM_PART_MAX - length);
}

void platform_set(struct platform *ret_platform, const char *os,
		  const char *architecture, const char *variant)
{
	set_part(ret_platform->os, os);
	set_part(ret_platform->architecture, architecture);
	set_part(ret_platform->variant, variant);
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++) {
		if (!str_equal(ret_platform->architecture, aliases[i].name))
			continue;
		set_part(ret_platform->architecture, aliases[i].architecture);
		if (!*ret_platform->variant)
			set_part(ret_platform->variant, aliases[i].variant);
	}
	/* The first 64-bit ARM is written without a variant, or with v8. */
	if (str_equal(ret_platform->architecture, "arm64") &&
	    (str_equal(ret_platform->variant, "8") ||
	     str_equal(ret_platform->variant, "v8")))
		set_part(ret_platform->variant, "");
	if (str_equal(ret_platform->architecture, "arm") &&
	    (!*ret_platform->variant || str_equal(ret_platform->variant, "7")))
		set_part(ret_platform->variant, "v7");
}

void platform_host(struct platform *ret_platform)
{
	struct utsname name;

	if (uname(&name) < 0)
		platform_set(ret_platform, "linux", "amd64", "");
	else
		platform_set(ret_platform, "linux", name.machine, "");
}

static bool part_is_valid(const char *part)
{
	size_t length = strlen(part);

	if (length == 0 || length >= PLATFORM_PART_MAX)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!isalnum((unsigned char)part[i]) && !strchr("_-.", part[i]))
			return false;
	}
	return true;
}

static bool is_architecture(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(architectures); i++)
		if (str_equal(architectures[i], name))
			return true;
	return false;
}

int platform_parse(const char *text, struct platform *ret_platform,
		   struct error *err)
{
	cleanup_strv char **parts = strv_split(text, '/');
	size_t count = strv_length(parts);
	struct platform host;

	for (size_t i = 0; i < count; i++) {
		if (!part_is_valid(parts[i]))
			count = 0;
	}
	if (count < 1 || count > 3) {
		err_set(err, ERROR_INVALID, "invalid platform \"%.64s\"", text);
		return err_hint(err,
				"write os/architecture[/variant], for example "
				"linux/arm64");
	}
	platform_host(&host);
	if (count > 1)
		platform_set(ret_platform, parts[0], parts[1],
			     count == 3 ? parts[2] : "");
	else if (str_equal(parts[0], host.os))
		*ret_platform = host;
	else
		platform_set(ret_platform, host.os, parts[0], "");
	if (count == 1 && !is_architecture(ret_platform->architecture)) {
		err_set(err, ERROR_INVALID,
			"invalid platform \"%.64s\": no operating system or "
			"architecture is called so",
			text);
		return err_hint(err,
				"write os/architecture[/variant], for example "
				"linux/arm64");
	}
	if (!str_equal(ret_platform->os, host.os))
		return err_set(err, ERROR_UNSUPPORTED,
			       "operating system \"%s\" is not supported, only "
			       "linux is",
			       ret_platform->os);
	return 0;
}

void platform_text(char ret_text[PLATFORM_TEXT_MAX],
		   const struct platform *platform)
{
	snprintf(ret_text, PLATFORM_TEXT_MAX, "%s/%s%s%s", platform->os,
		 platform->architecture, *platform->variant ? "/" : "",
		 platform->variant);
}

int platform_match(const struct platform *wanted, const struct platform *have)
{
	const char *a = wanted->variant;
	const char *b = have->variant;

	if (!str_equal(wanted->os, have->os) ||
	    !str_equal(wanted->architecture, have->architecture))
		return 0;
	if (str_equal(a, b))
		return MATCH_EXACT;
	if (!*b || !*a)
		return MATCH_EXACT / 2;
	if (str_equal(have->architecture, "arm") && a[0] == 'v' &&
	    b[0] == 'v' && isdigit((unsigned char)a[1]) && !a[2] &&
	    isdigit((unsigned char)b[1]) && !b[2] && b[1] < a[1])
		return b[1] - '0' + 1;
	return 0;
}
