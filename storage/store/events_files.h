/* Names below the store's root that storage/store/events.h tells of. */
#pragma once

#define EVENTS_DIRECTORY "events"
#define EVENTS_JOURNAL	 "journal"
#define EVENTS_BEFORE	 "journal.1"
