/* cgroup.h - how much CPU the control groups allow this process.
 *
 * Threads:   from anywhere; reads files, so not in a hurry.
 */
#ifndef WEFT_SCHED_CGROUP_H
#define WEFT_SCHED_CGROUP_H

/* The CPUs that the control groups of this process, and all above them that
 * can be seen, allow: the least of them, 2.5 say; 0 when none sets a limit.
 * root goes before /proc/self/cgroup, /proc/self/mountinfo and the mount
 * points; NULL is "". */
double weft__cgroup_quota(const char *root);

#endif
