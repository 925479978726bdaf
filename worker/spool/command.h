/* `worker spool [DIR]`: what waits on disk, for the person on call. Changes nothing. */
#pragma once

/* The words after "spool". Returns the exit status. */
int spool_command(int argc, char **argv);
