/* docker's one-line form of a ContainerSummary's Ports. */
#pragma once

#include <cjson/cJSON.h>

/*
 * "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 53/udp"; neighbours become ranges:
 * "0.0.0.0:8000-8002->8000-8002/tcp". Caller frees.
 */
char *ports_text(const cJSON *ports);
