/* Random names of containers: core/engine/container.h. */
#include "core/engine/container.h"

#include <sys/random.h>

#include "base/cleanup.h"
#include "base/str.h"

static const char *const adjectives[] = {
	"amber",    "ancient",	"airy",	   "autumn",  "bold",	  "brave",
	"bright",   "brisk",	"calm",	   "candid",  "careful",  "cheerful",
	"clear",    "clever",	"cosy",	   "crisp",   "curious",  "damp",
	"daring",   "dewy",	"eager",   "early",   "earnest",  "evergreen",
	"fair",	    "faithful", "fern",	   "fluent",  "fond",	  "forest",
	"fresh",    "frosty",	"gentle",  "glad",    "golden",	  "graceful",
	"green",    "handy",	"hardy",   "hazel",   "honest",	  "humble",
	"ivory",    "jolly",	"keen",	   "kind",    "lively",	  "loyal",
	"lucid",    "mellow",	"merry",   "mild",    "mindful",  "misty",
	"modest",   "mossy",	"nimble",  "noble",   "open",	  "patient",
	"peaceful", "placid",	"plucky",  "polite",  "proud",	  "quick",
	"quiet",    "rapid",	"ready",   "restful", "robust",	  "rooted",
	"rustic",   "serene",	"shady",   "sincere", "smooth",	  "soft",
	"spry",	    "stable",	"steady",  "sturdy",  "sunny",	  "supple",
	"swift",    "tender",	"thrifty", "tidy",    "tranquil", "true",
	"upbeat",   "velvet",	"verdant", "vivid",   "warm",	  "wild",
	"willing",  "wise",	"witty",   "young",
};

/* Botanists, gardeners, and people of computing and science. */
static const char *const surnames[] = {
	"arber",    "banks",	 "bartram",	 "bessey",     "bonpland",
	"boole",    "bose",	 "braun",	 "brongniart", "brown",
	"burbank",  "candolle",	 "carson",	 "carver",     "church",
	"clusius",  "colden",	 "conway",	 "curie",      "dahl",
	"darwin",   "dijkstra",	 "dodoens",	 "dillenius",  "eastwood",
	"engler",   "erdos",	 "esau",	 "euler",      "fermat",
	"franklin", "fries",	 "fuchs",	 "gauss",      "gesner",
	"goethe",   "gray",	 "hamilton",	 "hedwig",     "hilbert",
	"hoare",    "hooker",	 "hopper",	 "humboldt",   "husserl",
	"jekyll",   "johnson",	 "jussieu",	 "kepler",     "knuth",
	"lamarck",  "lindley",	 "linnaeus",	 "lovelace",   "mcclintock",
	"malpighi", "margulis",	 "mendel",	 "merian",     "mitscherlich",
	"mitten",   "naegeli",	 "nightingale",	 "noether",    "north",
	"papert",   "pascal",	 "perlman",	 "plumier",    "ramanujan",
	"ray",	    "richards",	 "ritchie",	 "ruel",       "sachs",
	"saussure", "schimper",	 "sessions",	 "shannon",    "solander",
	"spruce",   "swartz",	 "theophrastus", "thompson",   "tournefort",
	"turing",   "vavilov",	 "wallace",	 "warming",    "whittaker",
	"wiener",   "willdenow", "yonath",	 "zuse",
};

static unsigned int random_below(unsigned int limit)
{
	unsigned int number = 0;

	/* Only a name: without randomness the first words serve as well. */
	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return 0;
	return number % limit;
}

char *container_name_random(unsigned int attempt)
{
	const char *adjective =
		adjectives[random_below(ARRAY_SIZE(adjectives))];
	const char *surname = surnames[random_below(ARRAY_SIZE(surnames))];

	if (attempt == 0)
		return xasprintf("%s_%s", adjective, surname);
	return xasprintf("%s_%s%u", adjective, surname,
			 random_below(10 * attempt));
}
