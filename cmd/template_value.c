/* Values of templates: cmd/template_eval.h. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/template_eval.h"

const cJSON *template_keep(struct template_arena *arena, cJSON *value)
{
	if (!arena->made)
		arena->made = json_array();
	json_push(arena->made, value);
	return value;
}

bool template_truth(const cJSON *value)
{
	if (!value || cJSON_IsNull(value) || cJSON_IsFalse(value))
		return false;
	if (cJSON_IsTrue(value))
		return true;
	if (cJSON_IsNumber(value))
		return value->valuedouble != 0;
	if (cJSON_IsString(value))
		return value->valuestring[0] != '\0';
	return value->child != NULL || cJSON_IsRaw(value);
}

/* ---- docker's types ---- */

enum kind { KIND_MAP, KIND_LIST, KIND_POINTER, KIND_TEXT, KIND_FLAG };

/* Members of docker's structs, by name: what is a map, what null stands for,
   and what its JSON leaves out when it is empty. */
static const struct type {
	const char *member;
	enum kind kind;
	bool left_out;
} types[] = {
	{"Aliases", KIND_LIST, false},
	{"Annotations", KIND_MAP, true},
	{"Args", KIND_LIST, false},
	{"ArgsEscaped", KIND_FLAG, true},
	{"Attributes", KIND_MAP, false},
	{"Binds", KIND_LIST, false},
	{"CapAdd", KIND_LIST, false},
	{"CapDrop", KIND_LIST, false},
	{"Cmd", KIND_LIST, false},
	{"Containers", KIND_MAP, false},
	{"DNSNames", KIND_LIST, false},
	{"Data", KIND_MAP, false},
	{"DeviceCgroupRules", KIND_LIST, false},
	{"DeviceRequests", KIND_LIST, false},
	{"Dns", KIND_LIST, false},
	{"DnsOptions", KIND_LIST, false},
	{"DnsSearch", KIND_LIST, false},
	{"DriverOpts", KIND_MAP, false},
	{"Entrypoint", KIND_LIST, false},
	{"Env", KIND_LIST, false},
	{"ExecIDs", KIND_LIST, false},
	{"ExposedPorts", KIND_MAP, true},
	{"ExtraHosts", KIND_LIST, false},
	{"GroupAdd", KIND_LIST, false},
	{"Health", KIND_POINTER, true},
	{"Healthcheck", KIND_POINTER, true},
	{"IPAMConfig", KIND_POINTER, false},
	{"Init", KIND_POINTER, true},
	{"KernelMemory", KIND_FLAG, false},
	{"Labels", KIND_MAP, false},
	{"Layers", KIND_LIST, false},
	{"Links", KIND_LIST, false},
	{"MacAddress", KIND_TEXT, true},
	{"MaskedPaths", KIND_LIST, false},
	{"MemorySwappiness", KIND_POINTER, false},
	{"Metadata", KIND_MAP, false},
	{"Mounts", KIND_LIST, true},
	{"NetworkDisabled", KIND_FLAG, true},
	{"Networks", KIND_MAP, false},
	{"OnBuild", KIND_LIST, true},
	{"OomKillDisable", KIND_POINTER, false},
	{"Options", KIND_MAP, false},
	{"PidsLimit", KIND_POINTER, false},
	{"Platform", KIND_POINTER, false}, /* a row's */
	{"PortBindings", KIND_MAP, false},
	{"Ports", KIND_MAP, false},
	{"ReadonlyPaths", KIND_LIST, false},
	{"RepoDigests", KIND_LIST, false},
	{"RepoTags", KIND_LIST, false},
	{"SecondaryIPAddresses", KIND_LIST, false},
	{"SecondaryIPv6Addresses", KIND_LIST, false},
	{"SecurityOpt", KIND_LIST, false},
	{"Shell", KIND_LIST, true},
	{"SizeRootFs", KIND_POINTER, true},
	{"SizeRw", KIND_POINTER, true},
	{"Status", KIND_MAP, true}, /* a volume's */
	{"StopSignal", KIND_TEXT, true},
	{"StopTimeout", KIND_POINTER, true},
	{"StorageOpt", KIND_MAP, true},
	{"Sysctls", KIND_MAP, true},
	{"Tmpfs", KIND_MAP, true},
	{"Ulimits", KIND_LIST, false},
	{"UsageData", KIND_POINTER, true},
	{"Volumes", KIND_MAP, true},
	{"VolumesFrom", KIND_LIST, false},
	{"Warnings", KIND_LIST, false},
};

static int compare_type(const void *key, const void *type)
{
	return strcmp(key, ((const struct type *)type)->member);
}

static const struct type *type_of(const char *member)
{
	if (!member)
		return NULL;
	return bsearch(member, types, ARRAY_SIZE(types), sizeof(types[0]),
		       compare_type);
}

bool template_is_map(const cJSON *object)
{
	const struct type *type = type_of(object->string);
	const cJSON *member;

	if (type && type->kind == KIND_MAP)
		return true;
	cJSON_ArrayForEach(member, object)
	{
		if (!isupper((unsigned char)member->string[0]))
			return true;
	}
	return object->child == NULL;
}

const char *template_json_name(const char *field)
{
	static const char *const names[][2] = {
		{"APIVersion", "ApiVersion"},
		{"CPUCfsPeriod", "CpuCfsPeriod"},
		{"CPUCfsQuota", "CpuCfsQuota"},
		{"CPUPeriod", "CpuPeriod"},
		{"CPUQuota", "CpuQuota"},
		{"CPURealtimePeriod", "CpuRealtimePeriod"},
		{"CPURealtimeRuntime", "CpuRealtimeRuntime"},
		{"CPUShares", "CpuShares"},
		{"DNS", "Dns"},
		{"DNSOptions", "DnsOptions"},
		{"DNSSearch", "DnsSearch"},
		{"HTTPProxy", "HttpProxy"},
		{"HTTPSProxy", "HttpsProxy"},
		{"ID", "Id"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_equal(names[i][0], field))
			return names[i][1];
	return NULL;
}

const cJSON *template_absent(struct template_arena *arena, const char *member)
{
	const struct type *type = type_of(member);
	cJSON *made;

	if (!type || !type->left_out)
		return NULL;
	made = type->kind == KIND_TEXT	 ? cJSON_CreateString("")
	       : type->kind == KIND_FLAG ? cJSON_CreateFalse()
					 : cJSON_CreateNull();
	if (!made)
		str_oom();
	/* An item of an array that has a name all the same, for its nil. */
	made->string = xstrdup(member);
	return template_keep(arena, made);
}

const char *template_nil(const char *member)
{
	const struct type *type = type_of(member);

	if (!type)
		/* A port that is exposed and not published. */
		return member && strchr(member, '/') ? "[]" : NULL;
	switch (type->kind) {
	case KIND_MAP:
		return "map[]";
	case KIND_LIST:
		return "[]";
	case KIND_POINTER:
	case KIND_TEXT:
	case KIND_FLAG:
		break;
	}
	return "<nil>";
}

const char *template_type(const cJSON *value)
{
	if (!value || cJSON_IsNull(value))
		return "<nil>";
	if (cJSON_IsString(value))
		return "string";
	if (cJSON_IsBool(value))
		return "bool";
	if (cJSON_IsArray(value))
		return "[]interface {}";
	if (cJSON_IsObject(value))
		return "map[string]interface {}";
	return template_is_whole(value) || cJSON_IsRaw(value) ? "int"
							      : "float64";
}

/* ---- printing ---- */

static int compare_members(const void *a, const void *b)
{
	return strcmp((*(const cJSON *const *)a)->string,
		      (*(const cJSON *const *)b)->string);
}

static const cJSON **members_of(const cJSON *value, size_t *ret_count)
{
	const cJSON **members = NULL;
	const cJSON *member;
	size_t count = 0;

	cJSON_ArrayForEach(member, value)
	{
		/* At powers of two. */
		if ((count & (count - 1)) == 0)
			members = xrealloc(members, count ? 2 * count : 1,
					   sizeof(*members));
		members[count++] = member;
	}
	*ret_count = count;
	return members;
}

const cJSON **template_members(const cJSON *value, size_t *ret_count)
{
	const cJSON **members = members_of(value, ret_count);

	if (*ret_count > 1 && cJSON_IsObject(value))
		qsort(members, *ret_count, sizeof(*members), compare_members);
	return members;
}

bool template_is_whole(const cJSON *value)
{
	double number;

	if (!cJSON_IsNumber(value))
		return false;
	number = value->valuedouble;
	/* Without trunc(3): libm would be loaded at every start. */
	return number > -9e15 && number < 9e15 &&
	       number == (double)(long long)number;
}

/* Within another value. */
static void print_item(struct str *output, const cJSON *parent,
		       const cJSON *item)
{
	const char *nil = template_nil(item->string);

	if (cJSON_IsNull(item))
		str_append(output, nil ? nil : "<nil>");
	else if (cJSON_IsObject(item) && !item->child && parent->string &&
		 (str_equal(parent->string, "ExposedPorts") ||
		  str_equal(parent->string, "Volumes")))
		str_append(output, "{}"); /* sets are maps to empty structs */
	else
		template_print(output, item);
}

/* "[a b]", "map[k:v k:v]" by key, "{a b}" of a struct. */
static void print_nested(struct str *output, const cJSON *value)
{
	bool map = cJSON_IsObject(value) && template_is_map(value);
	bool record = cJSON_IsObject(value) && !map;
	cleanup_free const cJSON **members = NULL;
	size_t count;

	members = record ? members_of(value, &count)
			 : template_members(value, &count);
	str_append(output, map ? "map[" : record ? "{" : "[");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			str_append_char(output, ' ');
		if (map)
			str_appendf(output, "%s:", members[i]->string);
		print_item(output, value, members[i]);
	}
	str_append_char(output, record ? '}' : ']');
}

/* The shortest digits that stand for the same number. */
void template_print_number(struct str *output, const cJSON *value)
{
	double number = value->valuedouble;
	char text[64] = "";
	int precision = -1;
	int exponent;

	if (cJSON_IsRaw(value)) { /* longer than a double */
		str_append(output, value->valuestring);
		return;
	}
	if (template_is_whole(value)) {
		str_appendf(output, "%lld", (long long)number);
		return;
	}
	do
		snprintf(text, sizeof(text), "%.*e", ++precision, number);
	while (precision < 17 && strtod(text, NULL) != number);
	exponent = atoi(strchr(text, 'e') ? strchr(text, 'e') + 1 : "0");
	if (exponent < -4 || exponent >= 21)
		str_append(output, text);
	else
		str_appendf(output, "%.*f",
			    precision > exponent ? precision - exponent : 0,
			    number);
}

void template_print(struct str *output, const cJSON *value)
{
	const char *nil = value ? template_nil(value->string) : NULL;

	if (!value || cJSON_IsNull(value))
		str_append(output, nil ? nil : "<no value>");
	else if (cJSON_IsString(value))
		str_append(output, value->valuestring);
	else if (cJSON_IsBool(value))
		str_append(output, cJSON_IsTrue(value) ? "true" : "false");
	else if (cJSON_IsNumber(value) || cJSON_IsRaw(value))
		template_print_number(output, value);
	else
		print_nested(output, value);
}
