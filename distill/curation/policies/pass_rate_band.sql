-- Right chains of the problems that are neither easy nor hopeless for the teacher. A problem is left out only where its
-- Wilson interval (95 %) lies outside of 0.2 to 0.8 altogether, so few samples leave out little: 8 of 8 stay, 16 of 16 go.
-- Copy the file to change the band.
SELECT id FROM kept JOIN pass_rates USING (problem_id) WHERE high >= 0.2 AND low <= 0.8
