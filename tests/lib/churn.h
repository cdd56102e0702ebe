/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_LIB_CHURN_H
#define TESTS_LIB_CHURN_H

/*
 * Random changes to a directory tree: everything a site can do to files, directories, links,
 * names and attributes, on few names and three levels, so that the changes meet.  The same seed
 * makes the same changes.
 */

/* churn_seed(seed), churn_pick(n): The generator, and a number of it below ${n}. */
void churn_seed(unsigned long seed);
unsigned churn_pick(unsigned n);

/* churn(fd, n): ${n} attempts at a change beneath ${fd}; many fail, and that is fine. */
void churn(int fd, unsigned n);

#endif
