#include "base/memory.h"

#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Far below the present frame nothing but the stack lies, mapped or not. */
#define STACK_REACH (256u << 10)

/* Not every C library has it. */
int malloc_trim(size_t pad) __attribute__((weak));

static uintptr_t page_size(void)
{
	return (uintptr_t)sysconf(_SC_PAGESIZE);
}

static int drop_segments(struct dl_phdr_info *object, size_t size, void *data)
{
	for (size_t i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		uintptr_t start = object->dlpi_addr + segment->p_vaddr;
		uintptr_t end = start + segment->p_filesz;

		/* Never written to, so that the file has it all. */
		if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W))
			continue;
		start &= ~(page_size() - 1);
		madvise((void *)start, end - start, MADV_DONTNEED);
	}
	return 0;
}

/* The page of the present frame and the one below stay: they are in use. */
static __attribute__((noinline)) void drop_stack(void)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t end = (here & ~(page_size() - 1)) - page_size();

	madvise((void *)(end - STACK_REACH), STACK_REACH, MADV_DONTNEED);
}

void memory_settle(void)
{
	if (malloc_trim)
		malloc_trim(0);
	drop_stack();
	dl_iterate_phdr(drop_segments, NULL);
}
