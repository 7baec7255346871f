/* What docker says of a client: Version, DefaultAPIVersion, Os, Arch … */
#pragma once

#include <cjson/cJSON.h>

cJSON *version_client_json(void);
