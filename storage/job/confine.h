/*
 * What moss-image and moss-layer take from themselves before they read an
 * archive or a tree that anybody may have made: by Landlock, everything that
 * would change a file outside of the store, and executing. A decompressor gone
 * wrong then cannot write a ~/.profile. Reading and the network stay: the
 * archive, certificates, the resolver's files.
 *
 * Where the kernel cannot (before 5.19, or Landlock is off) it goes on without:
 * this is a second line of defence.
 */
#pragma once

/* Writing stays possible below dir_fd. */
void confine_writes(int dir_fd);
